"""Balls and capsules against a loop over all voxels, nodes and edges."""

from __future__ import annotations

import numpy as np
import pytest

from morula.core.tree import Tree
from morula.data.capsules import draw_tree


def slow(tree: Tree, shape: tuple[int, int, int], least: float) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for index in np.ndindex(*shape):
        place = np.array(index, float)
        away = np.linalg.norm(tree.points - place, axis=1)
        mask[index] = (away <= np.maximum(tree.radius, least) + 1e-9).any()
        for child, parent in tree.edges:
            a, b = tree.points[child], tree.points[parent]
            ra, rb = max(tree.radius[child], least), max(tree.radius[parent], least)
            along = b - a
            share = np.clip((place - a) @ along / (along @ along), 0, 1)
            mask[index] |= np.linalg.norm(place - (a + share * along)) <= ra + share * (rb - ra) + 1e-9
    return mask


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (7, 11, 13)
    points = rng.uniform(-2, 1, (5, 3)) + rng.uniform(0, 1, (5, 3)) * shape  # some nodes lie outside
    tree = Tree.of(points, [-1, 0, 1, 1, 3], rng.uniform(0, 2.5, 5))
    np.testing.assert_array_equal(draw_tree(tree, shape), slow(tree, shape, 1.0))


@pytest.mark.parametrize("radii", [(10, 1), (1, 10)])
def test_a_cell_body_keeps_its_whole_ball_however_near_a_thin_child_is(radii: tuple[int, int]) -> None:
    shape = (41, 41, 41)
    body = Tree.of([[20, 20, 20 + 6 * radii.index(10)]], [-1], 10.0)
    assert draw_tree(Tree.of([[20, 20, 20], [20, 20, 26]], [-1, 0], radii), shape)[
        draw_tree(body, shape)
    ].all()


def test_a_node_alone_is_a_ball_and_radii_are_bounded() -> None:
    ball = draw_tree(Tree.of([[3, 3, 3]], [-1], 2.0), (7, 7, 7))
    assert ball.sum() == 33
    assert draw_tree(Tree.of([[3, 3, 3]], [-1], 9.0), (7, 7, 7), largest=2.0).sum() == 33
    assert draw_tree(Tree.of([[3, 3, 3]], [-1], 0.0), (7, 7, 7)).sum() == 7


def test_nothing_outside_the_volume() -> None:
    assert not draw_tree(Tree.of([[50, 3, 3], [60, 3, 3]], [-1, 0]), (7, 7, 7)).any()
