"""Trainings of the recipe: what they leave, that a stopped one goes on, and that each network comes back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from morula.core.config import override
from morula.core.errors import DataError, UsageError
from morula.core.types import Axes, Record, Volume
from morula.engine import Run, Weights, launch
from morula.recipes import load_recipe
from morula.recipes.vit3d.config import presets
from synthetic import traced_stack

RECIPE: Any = load_recipe("vit3d")


def record() -> Record:
    image, tree = traced_stack(0)
    return Record("a", Volume(image, Axes("zyx"), "a"), trace=lambda: tree)


def opened(path: Path) -> Run:
    return Run.open(path, recipe="vit3d", config={}, data={}, seed=0, fabric=launch("cpu", "32-true"))


def full(*_: object) -> None:
    raise OSError("full")


def stopped(metrics: object, at: int, stage: object) -> None:
    if at == 2:
        raise KeyboardInterrupt


def test_a_training_is_not_done_before_its_model_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = presets()["smoke"].model_copy(update={"steps": 2})
    run = opened(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr("morula.recipes.vit3d.recipe.write_json", full)
        RECIPE.train(run, [record()], config)
    assert not run.stage("train", steps=2).done
    RECIPE.train(opened(tmp_path), [record()], config)
    assert (tmp_path / "model/model.json").exists()


def test_other_weights_under_the_same_name_are_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "w.npz"
    config = presets()["smoke"].model_copy(update={"weights": str(file)})
    monkeypatch.setattr("morula.recipes.vit3d.recipe.learn", full)
    for value, error in ((0, OSError), (0, OSError), (1, UsageError)):
        np.savez(file, conv=np.full((3, 3), value, np.float32))
        with pytest.raises(error, match="full" if error is OSError else "made from other inputs"):
            RECIPE.train(opened(tmp_path / "run"), [record()], config)


def test_a_stopped_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(presets()["smoke"], {"steps": 3, "crop": (4, 16, 16), "network": "unet"})

    def trained(name: str) -> Mapping[str, Tensor]:
        RECIPE.train(opened(tmp_path / name), [record()], config)
        return Weights.load(tmp_path / name / "model" / "network.safetensors").tensors

    monkeypatch.setattr("morula.recipes.vit3d.network._WIDTHS", (4, 6, 8))
    whole = trained("whole")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        ticks = count(0, 60)
        patched.setattr("morula.engine.loop.time", SimpleNamespace(monotonic=lambda: next(ticks)))
        patched.setattr("morula.engine.loop._refuse_not_finite", stopped)
        trained("stopped")
    assert (tmp_path / "stopped" / "2-train" / "state.pt").exists()
    again = trained("stopped")
    assert whole.keys() == again.keys()
    assert [key for key in whole if not torch.equal(whole[key], again[key])] == []


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("inflated", {"crop": (4, 32, 32)}),
        ("unet", {"crop": (4, 32, 32)}),
        ("slice-vit", {"crop": (5, 48, 48), "vit": "test_vit", "depth": 5, "head": 16}),
    ],
)
def test_every_network_comes_back_from_its_run(network: str, changes: dict[str, Any], tmp_path: Path) -> None:
    config = override(presets()["smoke"], {"steps": 1, "network": network, **changes})
    run = opened(tmp_path)
    RECIPE.train(run, [record()], config)
    image = record().image
    likely = RECIPE.load(tmp_path, run.fabric).likely(image)
    assert likely.shape == image.shape
    assert likely.std() > 0


def test_a_mirrored_trace_of_a_set_is_refused_and_one_in_the_dark_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, tree = traced_stack(0)
    config = override(presets()["smoke"], {"steps": 1, "crop": (4, 16, 16), "network": "unet"})
    monkeypatch.setattr("morula.recipes.vit3d.network._WIDTHS", (4, 6, 8))
    flipped = Record("flipped", Volume(image[:, ::-1], Axes("zyx"), "a"), trace=lambda: tree)
    with pytest.raises(DataError, match=r"flipped.*mirrored along y"):
        RECIPE.train(opened(tmp_path / "flipped"), [flipped], config)
    dark = Record("dark", record().image, trace=lambda: tree.scaled((0.9, 0.2, 0.2)))
    RECIPE.train(opened(tmp_path / "dark"), [record(), dark], config)
    assert "Not so those of dark:" in RECIPE.story(tmp_path / "dark")[0].what
