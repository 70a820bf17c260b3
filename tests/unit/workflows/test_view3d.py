"""How large the stacks are that the page of traced neurons draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import write_labels, write_traces
from morula.report import Scene
from morula.workflows.view3d import view3d

SIZE = Voxel(z=3000.0, y=330.0, x=500.0)


@pytest.mark.parametrize("depth", [1, 4])
def test_sizes_are_those_of_the_labels(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the whole trace lies at 0 along an axis, and in a single section."""
    scenes: list[Scene] = []
    monkeypatch.setattr("morula.workflows.view3d.write_view", lambda page, title, drawn: scenes.extend(drawn))
    write_labels(tmp_path / "found/a/labels.tif", np.ones((depth, 20, 30), np.uint8), voxel=SIZE)
    write_traces(tmp_path / "found/a", Tree.of([[0, 0, 2], [0, 0, 25]], [-1, 0]), SIZE)
    view3d(tmp_path / "found")
    assert scenes[0].size[1:] == pytest.approx((6.6, 15))
    assert depth == 1 or scenes[0].size[0] == pytest.approx(12)


def test_labels_without_a_size_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "found/a/labels.tif", np.ones((4, 20, 30), np.uint8))
    write_traces(tmp_path / "found/a", Tree.of([[0, 0, 2], [0, 0, 25]], [-1, 0]), SIZE)
    with pytest.raises(DataError, match=r"labels\.tif.*how large a voxel is"):
        view3d(tmp_path / "found")
