"""Every strategy trains, goes on in every stage where it was stopped, and predicts from the run alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
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
from stopping import stopped_at
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
BRIEF = {"batch": 1, "target_batch": 1, "candidates": 1, "generator_width": 4, "test_augment": False}
recipe = load_recipe("emda")


def volume(name: str, array: np.ndarray, nm: float | None) -> Volume:
    size = None if nm is None else Voxel(y=nm, x=nm, z=40.0)
    return Volume(array, Axes("zyx"), name, voxel=size, stamp=name)


def records(nm: float = 8.0, sections: int = 3) -> list[Record]:
    source, mask = em_stack(0, size=128, sections=sections)
    target, _ = em_stack(1, nm=nm, size=112, sections=sections, dark=95, light=150)
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


@pytest.mark.parametrize(
    ("preset", "steps", "stops"),
    [
        ("best", 4, {"train": 2}),
        ("mean-teacher", 4, {"train": 2}),
        ("inter-section", 4, {"train": 2}),
        ("damt", 4, {"train": 2}),
        ("cut", 4, {"translate": 1, "train": 1}),
        ("ssl", 4, {"pretext": 1, "train": 1}),
        ("ynet", 7, {"step-1": 1, "step-2": 1, "train": 1}),
    ],
)
def test_a_stopped_training_goes_on_to_the_same_weights(
    preset: str, steps: int, stops: dict[str, int], tmp_path: Path
) -> None:
    settings, given = config(preset, **BRIEF, steps=steps), records(sections=2)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, settings, given)
    for stage, step in stops.items():
        with stopped_at(stage, step):
            train(stopped, settings, given)
        (kept,) = stopped.glob("*/state.pt")
        assert kept.parent.name.endswith(f"-{stage}")
    train(stopped, settings, given)
    one, other = weights(whole), weights(stopped)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_a_finished_training_needs_no_volume_again(tmp_path: Path) -> None:
    settings = config("best", **BRIEF)
    run = train(tmp_path / "run", settings)
    recipe.train(run, [], settings)  # without any it would be refused


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
