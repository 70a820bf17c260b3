"""What the chapters of a report tell of a neuron run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morula.report import label_colours
from morula.tasks.neurons.story import chapters


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
