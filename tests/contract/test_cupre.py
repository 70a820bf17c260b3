"""Every preset of cupre trains on a few labels, goes on where it was stopped, and predicts from the model."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from morula.core.config import override
from morula.core.errors import DataError
from morula.core.rng import Rng
from morula.core.types import Axes, Record, Volume
from morula.engine import Run, Weights, launch, read_json
from morula.recipes import load_recipe
from morula.recipes.cupre.config import CupreConfig
from morula.recipes.cupre.curve import drawn
from stopping import stopped_at
from synthetic import field, save_natural

SMALL = {"steps": 8, "round_steps": 4, "budget_steps": 4, "batch": 2, "crop": 64, "widths": [8, 12]}
recipe = load_recipe("cupre")


def records(labelled: int = 1, count: int = 3) -> list[Record]:
    found: list[Record] = []
    for seed in range(count):
        image, labels = field(seed, size=96, count=8)
        volume = Volume(np.moveaxis(image, -1, 0), Axes("cyx"), f"c{seed}", channels=("red", "green", "blue"))
        found.append(Record(f"c{seed}", volume, (lambda labels=labels: labels) if seed < labelled else None))
    return found


def config(preset: str, **changes: Any) -> Any:
    return override(recipe.presets()[preset], {**SMALL, **changes})


def train(path: Path, settings: Any, given: list[Record] | None = None) -> Run:
    run = Run.open(
        path, recipe="cupre", config=settings.model_dump(mode="json"), data={}, seed=0, fabric=launch("cpu")
    )
    recipe.train(run, given or records(), settings)
    return run


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(Weights.load(path / "model" / "network.safetensors").tensors)


def same(one: Run, other: Run) -> bool:
    first, second = weights(one.path), weights(other.path)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def own_presets() -> list[str]:
    return [name for name, config in recipe.presets().items() if isinstance(config, CupreConfig)]


@pytest.mark.parametrize("preset", own_presets())
def test_a_preset_trains_and_predicts_from_the_model_alone(preset: str, tmp_path: Path) -> None:
    train(tmp_path / "run", config(preset))
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "moved" / "model")
    image = records()[2].image
    found = recipe.load(tmp_path / "moved", launch("cpu"))(image)
    assert found.labels.shape == image.spatial_shape
    assert found.maps["foreground"].shape == image.spatial_shape
    with (tmp_path / "run" / "report" / "label_next.csv").open(newline="") as stream:
        assert sorted(row["image"] for row in csv.DictReader(stream)) == ["c1", "c2"]
    assert recipe.story(tmp_path / "run")


ELSE = {
    "width": 16,
    "layout": "v2",
    "cascade": True,
    "augment_test": True,
    "natural_batch": 1,
    "natural_crop": 64,
}


@pytest.mark.parametrize("otherwise", [False, True], ids=["as it is", "cascade, v2, natural images, turns"])
def test_the_published_preset_trains_and_predicts(otherwise: bool, tmp_path: Path) -> None:
    tiny = {
        "iterations": 1, "views": 2, "view": 32, "parts": 1, "queue": 4, "regions": 8, "detections": 10,
        "steps": 2, "batch": 1, "crop": 64,
    }  # fmt: skip
    if otherwise:
        tiny |= {**ELSE, "natural": str(save_natural(tmp_path / "natural"))}
    settings = override(recipe.presets()["paper-small"], tiny)
    fabric = launch("cpu", "32-true")
    told = StringIO()
    run = Run.open(
        tmp_path / "run", recipe="cupre", config=settings.model_dump(mode="json"), data={}, seed=0,
        fabric=fabric, console=Console(file=told, width=200),
    )  # fmt: skip
    recipe.train(run, records(), settings)
    assert ("momentum contrast alone" in told.getvalue()) != otherwise
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "moved" / "model")
    image = records()[2].image
    found = recipe.load(tmp_path / "moved", fabric)(image)
    assert found.labels.shape == image.spatial_shape == found.maps["certainty"].shape
    assert len(found.scores) == found.labels.max() <= 10
    with (tmp_path / "run" / "report" / "label_next.csv").open(newline="") as stream:
        assert sorted(row["image"] for row in csv.DictReader(stream)) == ["c1", "c2"]
    assert [chapter.name for chapter in recipe.story(tmp_path / "run")][:2] == ["Pre-training", "Fine-tuning"]


@pytest.mark.parametrize(
    ("preset", "rounds", "stage"), [("best", 1, "train-again-1"), ("scratch", 0, "train")]
)
def test_a_stopped_training_goes_on_to_the_same_weights(
    preset: str, rounds: int, stage: str, tmp_path: Path
) -> None:
    settings = config(preset, rounds=rounds)
    train(tmp_path / "whole", settings)
    with stopped_at(stage, 2):
        train(tmp_path / "stopped", settings)
    (kept,) = (tmp_path / "stopped").glob("*/state.pt")
    assert kept.parent.name.endswith(f"-{stage}")
    train(tmp_path / "stopped", settings)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_all_images_may_have_labels(tmp_path: Path) -> None:
    train(tmp_path / "run", config("best"), records(labelled=2, count=2))
    assert (tmp_path / "run" / "report" / "label_next.csv").read_text().splitlines() == [
        "rank,image,doubt,novelty"
    ]
    assert recipe.story(tmp_path / "run")


def test_the_report_tells_whether_more_labels_would_help(tmp_path: Path) -> None:
    """Networks of fewer labels are scored on an image none of them saw; the model is as without them."""
    run = train(tmp_path / "run", config("best", budgets=[0, 1, 10]), records(labelled=4, count=4))
    points = [read_json(path) for path in run.path.glob("*-labels-*/done.json")]
    assert sorted(point["labels"] for point in points) == [0, 1, 3]
    assert len({tuple(point["held"]) for point in points}) == 1 == len(points[0]["held"])
    (chapter,) = [each for each in recipe.story(run.path) if each.name == "Would more labels help?"]
    assert "with 3" in chapter.what
    assert points[0]["held"][0] in chapter.pictures[0].caption
    plain = train(tmp_path / "plain", config("best", budgets=[]), records(labelled=4, count=4))
    assert same(run, plain)
    assert len(recipe.story(plain.path)) == len(recipe.story(run.path)) - 1


def test_the_curve_s_draws_are_balanced_and_hold_out_a_third() -> None:
    kinds = {f"{kind}{number}": kind for kind in "ab" for number in range(6)}
    learned, held = drawn(kinds, Rng(0))
    assert sorted([*learned, *held]) == sorted(kinds)
    assert len(held) == 4
    assert {kinds[name] for name in held} == {kinds[name] for name in learned[:2]} == {"a", "b"}
    assert drawn(kinds, Rng(0)) != drawn(kinds, Rng(1))
    assert [len(part) for part in drawn({"x": "a", "y": "b"}, Rng(0))] == [1, 1]


def test_weights_that_a_preset_does_not_start_from_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from morula.recipes.cupre import recipe as module

    def stop(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_prepare", stop)
    told, settings = StringIO(), config("best", weights="coco")
    run = Run.open(
        tmp_path / "run", recipe="cupre", config=settings.model_dump(mode="json"), data={}, seed=0,
        fabric=launch("cpu"), console=Console(file=told, width=200),
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        recipe.train(run, records(), settings)
    assert "Preset best starts from no weights; preset paper does." in told.getvalue()


def test_labels_without_an_object_teach_nothing_and_alone_are_refused(tmp_path: Path) -> None:
    empty = [replace(each, labels=lambda: np.zeros((96, 96), np.int32)) for each in records()]
    with pytest.raises(DataError, match="no image has labels with an object"):
        train(tmp_path / "empty", config("best"), empty)
    first = records()[0]
    one = train(tmp_path / "one", config("best"), [first, *records(0)[1:]])
    beside = train(tmp_path / "beside", config("best"), [first, *empty[1:]])
    assert same(one, beside)


def test_other_labels_give_another_network(tmp_path: Path) -> None:
    first, *rest = records()
    assert first.labels is not None
    half = first.labels().copy()
    half[:, 48:] = 0
    one = train(tmp_path / "whole", config("scratch"))
    other = train(tmp_path / "half", config("scratch"), [replace(first, labels=lambda: half), *rest])
    assert not same(one, other)


def test_scratch_sees_no_image_without_labels(tmp_path: Path) -> None:
    first, *rest = records()
    other, _ = field(9, look="H&E", size=96, count=8)
    stranger = Volume(np.moveaxis(other, -1, 0), Axes("cyx"), "x", channels=("red", "green", "blue"))
    one = train(tmp_path / "one", config("scratch"), [first, *rest])
    two = train(tmp_path / "two", config("scratch"), [first, Record("c1", stranger)])
    assert same(one, two)
    best = train(tmp_path / "best", config("best"), [first, *rest])
    changed = train(tmp_path / "changed", config("best"), [first, Record("c1", stranger)])
    assert not same(best, changed)


def test_pseudo_labels_are_for_kinds_that_nobody_labelled_and_the_teacher_is_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from morula.recipes.cupre import recipe as module

    made, seen = module._pseudo, list[tuple[bool, str]]()

    def noted(teacher: Any, prepared: Any, *rest: Any) -> Any:
        seen.append((teacher is None, prepared.modality))
        return made(teacher, prepared, *rest)

    monkeypatch.setattr(module, "_pseudo", noted)
    other, _ = field(9, look="H&E", size=96, count=8)
    stranger = Volume(np.moveaxis(other, -1, 0), Axes("cyx"), "x", channels=("red", "green", "blue"))
    run = train(tmp_path / "run", config("best", rounds=1, few=0), [*records(), Record("x", stranger)])
    assert seen[0] == (True, "H&E")
    assert sorted(seen[1:]) == [(False, "H&E"), (False, "fluorescence"), (False, "fluorescence")]
    assert [chapter.name for chapter in recipe.story(run.path)] == [
        "Labels", "First training", "The teacher's labels", "Label these next"
    ]  # fmt: skip


@pytest.mark.parametrize(("moved", "few", "taught"), [(0, 1, True), (0, 0, False), (20, 1, False)])
def test_contours_teach_a_labelled_kind_where_they_find_what_was_labelled(
    moved: int, few: int, taught: bool, tmp_path: Path
) -> None:
    first, *others = records()
    assert first.labels is not None
    drawn_by_hand = np.roll(first.labels(), moved, axis=1)
    given = [Record(first.id, first.image, lambda: drawn_by_hand), *others]
    settings = config("best", few=few)
    run = train(tmp_path / "run", settings, given)
    assert (read_json(run.path / "2-train" / "done.json")["objects"] > 0) == taught
    overlaps = read_json(run.path / "1-prepare" / "done.json")["overlaps"]
    assert (overlaps.get("fluorescence", 0) >= settings.trust) == taught
    told = recipe.story(run.path)[0].what
    assert [f"an IoU of {share:.2f} in fluorescence" in told for share in overlaps.values()] == [True] * few


def test_controls_need_no_labels() -> None:
    given = records(0)
    controls = recipe.controls(given, config("best"))
    assert set(controls) == {"otsu-watershed", "pseudo-labels"}
    for control in controls.values():
        assert control(given[0].image).labels.max() > 4
