"""Every strategy trains, goes on where it was stopped, and predicts from the run alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from morula.core.config import override
from morula.core.errors import DataError, UsageError
from morula.core.types import Axes, Record, Volume, Voxel
from morula.engine import Run, Weights, launch
from morula.recipes import load_recipe
from morula.recipes.emda import multi_task
from synthetic import em_stack

SMALL = {
    "steps": 12,
    "batch": 2,
    "target_batch": 2,
    "crop": 64,
    "width": 8,
    "candidates": 2,
    "generator_width": 8,
}
STRATEGIES = {
    "best": {},
    "source-only": {},
    "hm": {},
    "fda": {},
    "cut": {"batch": 1},
    "ssl": {},
    "ynet": {"batch": 1},
    "damt": {"batch": 1},
    "mean-teacher": {},
    "inter-section": {},
}
recipe = load_recipe("emda")


def volume(name: str, array: np.ndarray, nm: float | None) -> Volume:
    size = None if nm is None else Voxel(y=nm, x=nm, z=40.0)
    return Volume(array, Axes("zyx"), name, voxel=size, stamp=name)


def records(nm: float = 8.0) -> list[Record]:
    source, mask = em_stack(0, size=128, sections=3)
    target, _ = em_stack(1, nm=nm, size=112, sections=3, dark=95, light=150)
    labelled = Record("s", volume("s", source, 8.0), lambda: mask, domain="source")
    return [labelled, Record("t", volume("t", target, nm), domain="target")]


def config(preset: str, **changes: Any) -> Any:
    return override(recipe.presets()[preset], {**SMALL, **STRATEGIES.get(preset, {}), **changes})


def train(path: Path, settings: Any, given: list[Record] | None = None) -> Run:
    run = Run.open(
        path, recipe="emda", config=settings.model_dump(mode="json"), data={}, seed=0, fabric=launch("cpu")
    )
    recipe.train(run, given or records(), settings)
    return run


def weights(path: Path) -> dict[str, torch.Tensor]:
    files = [path / "model" / "network.safetensors", *sorted(path.rglob("candidates/*.safetensors"))]
    return {
        f"{file.name}/{key}": value for file in files for key, value in Weights.load(file).tensors.items()
    }


@pytest.mark.parametrize("preset", STRATEGIES)
def test_a_strategy_trains_and_predicts_from_the_run_alone(preset: str, tmp_path: Path) -> None:
    train(tmp_path / "run", config(preset))
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "run" / "model", moved / "model")
    image = records()[1].image
    found = recipe.load(moved, launch("cpu"))(image)
    assert found.labels.shape == image.shape
    assert found.maps["foreground"].shape == image.shape
    assert len(recipe.checkpoints(tmp_path / "run", launch("cpu"))) == 2


@pytest.mark.parametrize("preset", ["best", "cut", "ynet", "damt", "inter-section"])
def test_a_stopped_training_goes_on_to_the_same_weights(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(preset)
    train(tmp_path / "whole", settings)
    stop_in_the_middle(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", settings)
    monkeypatch.undo()
    train(tmp_path / "stopped", settings)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def stop_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step, and Ctrl-C while the last stage keeps its first candidate."""
    ticks: Iterator[int] = count(0, 60)
    monkeypatch.setattr("morula.engine.loop.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    from morula.recipes.emda import adversarial, inter_section, mean_teacher, supervised

    for module in (adversarial, inter_section, mean_teacher, multi_task, supervised):
        kept = module.keep

        def interrupted(
            stage: Any, network: Any, done: int, steps: int, number: int, kept: Any = kept
        ) -> None:
            if done == max(2, steps // 2):
                raise KeyboardInterrupt
            kept(stage, network, done, steps, number)

        monkeypatch.setattr(module, "keep", interrupted)


def test_inter_section_refuses_volumes_that_are_not_deep_enough(tmp_path: Path) -> None:
    source, target = records()
    flat = replace(target, image=replace(target.image, source=target.image.read()[:1]))
    with pytest.raises(DataError, match="no volume has sections 1 apart; the deepest has 1"):
        train(tmp_path / "run", config("inter-section"), [source, flat])


def test_labels_of_the_target_are_refused(tmp_path: Path) -> None:
    source, target = records()
    leaky = replace(target, labels=lambda: pytest.fail("a label of the target was read"))
    with pytest.raises(UsageError, match="could be read while training"):
        train(tmp_path / "run", config("best"), [source, leaky])
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("stage.json"))  # so the corrected command can take the folder


def test_each_step_of_the_ynet_leaves_alone_what_it_freezes(tmp_path: Path) -> None:
    train(tmp_path / "run", config("ynet"))
    first, second, third = (
        Weights.load(next((tmp_path / "run").glob(f"*-{name}")) / "network.safetensors").tensors
        for name in ("step-1", "step-2", "train")
    )

    def changed(before: Any, after: Any) -> set[str]:
        return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}

    assert changed(first, second) == {"encoder", "bottleneck", "reconstruction"}
    assert changed(second, third) == {"bottleneck", "segmentation"}


def test_fine_tuning_after_the_pretext_leaves_the_encoder_alone(tmp_path: Path) -> None:
    train(tmp_path / "run", config("ssl"))
    run = tmp_path / "run"
    before = Weights.load(next(run.glob("*-pretext")) / "network.safetensors").tensors
    after = Weights.load(run / "model" / "network.safetensors").tensors
    parts = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert parts == {"bottleneck", "segmentation"}


def test_curriculum_is_the_published_one() -> None:
    assert [step.iterations for step in multi_task.STEPS] == [180_000, 144_000, 90_000]
    assert recipe.presets()["paper"].steps == 414_000  # type: ignore[attr-defined]
