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


def test_what_was_traced_without_a_stack_fills_the_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `morula trace` leaves a mask, each of several labels, and the tree of APP2."""
    scenes: list[Scene] = []
    monkeypatch.setattr("morula.workflows.view3d.write_view", lambda page, title, drawn: scenes.extend(drawn))
    for place in ("tree", "tree/1", "tree/app2"):
        write_traces(tmp_path / place, Tree.of([[0, 2, 2], [0, 20, 40]], [-1, 0]), SIZE)
    page = view3d(tmp_path / "tree")
    assert page == tmp_path / "tree/view3d.html"
    assert [scene.name for scene in scenes] == ["tree", "1", "app2"]
    assert all(scene.size == pytest.approx((1, 6.6, 20)) for scene in scenes)


def test_a_folder_without_a_tree_is_refused(tmp_path: Path) -> None:
    write_traces(tmp_path / "tree/1", Tree.of([], []), SIZE)
    with pytest.raises(DataError, match="there is no traced neuron in it"):
        view3d(tmp_path / "tree")


def test_labels_without_a_size_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "found/a/labels.tif", np.ones((4, 20, 30), np.uint8))
    write_traces(tmp_path / "found/a", Tree.of([[0, 0, 2], [0, 0, 25]], [-1, 0]), SIZE)
    with pytest.raises(DataError, match=r"labels\.tif.*how large a voxel is"):
        view3d(tmp_path / "found")
