"""A prediction is read as it was written, and shows whether it was changed since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morula.core.tree import Tree
from morula.core.types import Axes, Segmentation, Volume, Voxel
from morula.data import made_with, read_prediction, write_labels, write_prediction
from morula.data.predicted import MADE

LABELS = np.arange(24, dtype=np.int32).reshape(2, 3, 4) // 12
TREE = Tree.of([[0, 0, 0], [1, 2, 3.25]], [-1, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = Volume(LABELS, Axes("zyx"), "a.tif", Voxel(z=30.0, y=10.0, x=10.0))
    found = Segmentation(LABELS, np.array([0.25]), ("neuron",), tree=TREE)
    write_prediction(tmp_path / "a", found, image, made="of this model and image")
    return tmp_path / "a"


def test_it_is_read_as_it_was_written(folder: Path) -> None:
    found = read_prediction(folder)
    assert (found.labels == LABELS).all() and found.scores == [0.25] and found.classes == ("neuron",)
    assert found.tree is not None and (found.tree.points == TREE.points).all()


def test_it_says_what_it_was_made_with_until_a_file_is_changed(folder: Path) -> None:
    moved = folder.rename(folder.with_name("moved"))
    assert made_with(moved) == "of this model and image"
    (moved / ".DS_Store").write_text("Finder")
    assert made_with(moved) == "of this model and image"
    write_labels(moved / "labels.tif", 1 - LABELS)
    assert made_with(moved) is None


@pytest.mark.parametrize("noted", ["", "{"])
def test_a_note_that_the_power_cut_short_says_nothing(folder: Path, noted: str) -> None:
    (folder / MADE).write_text(noted)
    assert made_with(folder) is None
