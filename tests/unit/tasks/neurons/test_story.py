"""What the chapters of a report tell of a neuron run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morula.report import label_colours
from morula.tasks.neurons.story import _labels, chapters


def test_rounds_of_self_training_are_told_in_their_order(tmp_path: Path) -> None:
    taught = {number: np.full((4, 4), number, np.int32) for number in range(1, 10)}
    for number, labels in taught.items():
        stage = tmp_path / f"{number + 1}-self-training-{number}"
        stage.mkdir()
        np.save(stage / "image.npy", np.zeros((4, 4), np.float32))
        np.save(stage / "taught.npy", labels)
    (chapter,) = chapters(tmp_path)
    names = [picture.name for picture in chapter.pictures]
    assert names == ["image", "round 1: watershed", *(f"round {number}: network" for number in range(2, 10))]
    shown = [picture.pixels for picture in chapter.pictures[1:]]
    assert all(np.array_equal(a, label_colours(b)) for a, b in zip(shown, taught.values(), strict=True))


def row(voi: float) -> dict[str, float]:
    return {"threshold": 0.5, "voi": voi, "voi_split": voi / 4, "voi_merge": 3 * voi / 4, "are": 0.1}


@pytest.mark.parametrize("taken", ["start", "fine-tuned"])
def test_all_labels_give_the_fine_tuned_network_and_none_the_start(
    taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def chart(lines: dict[str, Any], **_: str) -> np.ndarray:
        drawn.update(lines)
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr("morula.report.line_chart", chart)
    best = {"fine-tuned": row(1.0), "start": row(0.5 if taken == "start" else 2.0)}
    summary = {"taken": taken, "candidates": best, "curve": [best[taken]]}
    _labels([{"share": 0.5, "best": row(1.25)}, {"share": 0.1, "best": row(1.5)}], summary)
    assert drawn["both"] == ([0, 10, 50, 100], [best["start"]["voi"], 1.5, 1.25, 1.0])
    _labels([{"share": 0.5, "best": row(1.25)}], {"candidates": {"fine-tuned": row(1.0)}})
    assert drawn["both"] == ([50, 100], [1.25, 1.0])
