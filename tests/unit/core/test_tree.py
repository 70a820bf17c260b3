"""A tree keeps its order, its lengths and its parts."""

from __future__ import annotations

import numpy as np
import pytest

from morula.core.tree import Tree

#   0 - 1 - 2 - 3        5 - 6
#        \\- 4
FOREST = Tree.of(
    [[0, 0, 0], [0, 0, 3], [0, 0, 5], [0, 0, 9], [0, 4, 3], [7, 7, 7], [8, 7, 7]],
    [-1, 0, 1, 2, 1, -1, 5],
    radius=[1, 2, 3, 4, 5, 6, 7],
)


def test_parts() -> None:
    assert FOREST.roots.tolist() == [0, 5]
    assert FOREST.tips.tolist() == [3, 4, 6]
    assert FOREST.branch_points.tolist() == [1]
    assert FOREST.edges.tolist() == [[1, 0], [2, 1], [3, 2], [4, 1], [6, 5]]
    assert FOREST.length == 3 + 2 + 4 + 4 + 1


def test_a_child_before_its_parent_is_refused() -> None:
    with pytest.raises(ValueError, match="before its children"):
        Tree.of([[0, 0, 0], [0, 0, 1]], [1, -1])


def test_scaling_takes_the_radius_along() -> None:
    large = FOREST.scaled((3, 1, 2))
    assert large.points[6].tolist() == [24, 7, 14]
    assert large.radius.tolist() == (FOREST.radius * 2).tolist()


def test_removing_a_node_makes_roots_of_its_children() -> None:
    keep = np.ones(7, bool)
    keep[1] = False
    left = FOREST.kept(keep)
    assert left.parent.tolist() == [-1, -1, 1, -1, -1, 4]
    assert left.radius.tolist() == [1, 3, 4, 5, 6, 7]


def test_samples_are_no_further_apart_than_asked_and_hold_every_node() -> None:
    points = FOREST.sampled(0.7)
    assert all((points == node).all(axis=1).any() for node in FOREST.points)
    line = Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0]).sampled(0.7)
    assert np.diff(np.sort(line[:, 2])).max() <= 0.7
