"""Masks of traced neurons against the drawn true trace: of predictions, of two traces, and of nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from morula.core.tree import Tree
from morula.core.types import Segmentation, Voxel
from morula.data import draw_tree, load_traced, write_labels, write_swc, write_traces
from morula.workflows import run, trace_masks
from morula.workflows.evaluate import evaluate
from morula.workflows.trace_masks import drawn_scores, mask_scores
from synthetic import save_traced

SIZE = Voxel(z=3000.0, y=1000.0, x=1000.0)
SHAPE = (20, 30, 40)
LINE = Tree.of([[10, 15, 5], [10, 15, 35]], [-1, 0], 2.0)
MEASURES = ("dice", "cldice", "hd95")


def test_a_mask_that_is_off_by_a_section_is_three_pixel_widths_away() -> None:
    off = mask_scores(draw_tree(LINE.moved((1, 0, 0)), SHAPE), LINE, SIZE)
    assert off["hd95"] == 3
    assert 0.5 < off["dice"] < 0.9
    assert off["cldice"] > 0.9
    assert mask_scores(draw_tree(LINE.moved((1, 0, 0)), SHAPE), LINE)["hd95"] == 1


def test_nothing_found_has_the_distance_of_the_true_box() -> None:
    assert mask_scores(np.zeros(SHAPE, np.uint8), LINE) == {
        "dice": 0,
        "cldice": 0,
        "hd95": pytest.approx(np.linalg.norm((4, 4, 34))),
    }
    assert mask_scores(np.zeros(SHAPE, np.uint8), Tree.of([], []))["hd95"] == 0


def test_two_traces_are_drawn_around_both_unless_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = LINE.moved((-300, 900, 0))
    assert drawn_scores(moved, moved, SIZE) == {"dice": 1, "cldice": 1, "hd95": 0}
    assert drawn_scores(Tree.of([], []), moved, SIZE)["dice"] == 0
    assert drawn_scores(LINE, LINE.moved((0, 1, 0)), SIZE)["hd95"] == 1
    assert drawn_scores(LINE, LINE.moved((0, 1e9, 0)), SIZE) == {}


def test_evaluate_takes_the_mask_beside_a_prediction(tmp_path: Path) -> None:
    folder = tmp_path / "pred/a"
    write_labels(folder / "labels.tif", draw_tree(LINE, SHAPE).astype(np.uint8), voxel=SIZE)
    write_traces(folder, LINE, SIZE)
    wide = Tree(LINE.points, LINE.radius * 2, LINE.parent, LINE.kind)
    write_swc(tmp_path / "truth/a.swc", wide)
    scores = evaluate(tmp_path / "pred", tmp_path / "truth", kind="swc", voxel=SIZE)
    assert scores["mean"]["f1_2"] == 1
    assert 0.2 < scores["mean"]["dice"] < 0.5
    assert scores["images"]["a"]["hd95"] == 6  # two voxels more, along z, too
    alone = tmp_path / "alone.swc"
    write_swc(alone, LINE)
    assert evaluate(alone, tmp_path / "truth/a.swc", kind="swc", voxel=SIZE)["mean"]["dice"] < 0.5
    assert "dice" not in evaluate(alone, tmp_path / "truth/a.swc", kind="swc")["mean"]


def test_the_mean_holds_what_all_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_masks, "_LARGEST", 10**4)
    for place in ("pred", "truth"):
        write_swc(tmp_path / place / "a.swc", LINE)
        write_swc(tmp_path / place / "b.swc", LINE.scaled((1, 1, 9)))
    found = evaluate(tmp_path / "pred", tmp_path / "truth", kind="swc", voxel=SIZE)
    assert found["images"]["a"]["dice"] == 1
    assert "dice" not in found["images"]["b"]
    assert "dice" not in found["mean"]
    assert json.loads(json.dumps(found["mean"], allow_nan=False))["f1_4"] == 1


def test_a_run_scores_the_masks_of_traced_stacks(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 1, 1)
    (record,), _ = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    assert record.trace is not None
    mask = draw_tree(record.trace(), record.image.shape).astype(np.uint8)
    found = Segmentation(mask, np.ones(1), ("neuron",), tree=record.trace())
    scores = run._scores_of(record, found)  # pyright: ignore[reportPrivateUsage]
    assert scores is not None
    assert [scores[name] for name in MEASURES] == [1, 1, 0]
