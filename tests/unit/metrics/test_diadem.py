"""The DIADEM metric on trees whose score can be told by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from morula.core.tree import Tree
from morula.metrics import DiademSettings, Weighed, diadem_score
from morula.metrics.critical_tree import critical_tree

Weights = Literal["degree", "uniform"]


def drawn(*nodes: tuple[int, float, float]) -> Tree:
    """A tree from `(parent, y, x)`, all in one section; the first is the root."""
    return Tree.of([(0, y, x) for _, y, x in nodes], [parent for parent, _, _ in nodes])


# a trunk along x with a branch at 50 (tip 2), and at 100 the tips 4 and 5: degrees 3 and 2
TRUNK = ((-1, 0, 0), (0, 0, 50), (1, 60, 50), (1, 0, 100), (3, 40, 140), (3, -40, 140))
FULL = drawn(*TRUNK)


def with_points(tree: Tree, pieces: int) -> Tree:
    """The same tree with every edge cut into pieces."""
    points, parent, place = [tree.points[0]], [-1], {0: 0}
    for child, above in tree.edges.tolist():
        last = place[above]
        for number in range(1, pieces + 1):
            share = number / pieces
            points.append(tree.points[above] * (1 - share) + tree.points[child] * share)
            parent.append(last)
            last = len(points) - 1
        place[child] = last
    return Tree.of(points, parent)


@pytest.mark.parametrize(("weights", "total"), [("degree", 8), ("uniform", 5)])
def test_a_tree_against_itself(weights: Weights, total: int) -> None:
    found = diadem_score(FULL, FULL, weights=weights)
    assert found == (1.0, total, total, 0, (), ())


@pytest.mark.parametrize("pieces", [2, 7])
def test_points_between_branch_points_do_not_count(pieces: int) -> None:
    pred = FULL.moved([0, 2, 1])
    plain, cut = (diadem_score(a, b) for a, b in ((pred, FULL), (with_points(pred, pieces), FULL)))
    assert cut.score == plain.score == 1.0


def test_a_tip_that_is_missed_counts_once_and_what_runs_past_its_joint_counts() -> None:
    pred = FULL.kept(np.arange(6) != 5)
    found = diadem_score(pred, FULL)
    assert (found.found, found.total, found.misses) == (7, 8, (Weighed(5, 1),))
    assert diadem_score(pred, FULL, weights="uniform").score == 4 / 5


def test_a_joint_on_a_path_of_another_length_is_missed() -> None:
    """A detour behind the first joint: everything behind it is there, but further along."""
    detour = drawn((-1, 0, 0), (0, 0, 50), (1, 60, 50), (1, 30, 75), (3, 0, 100), (4, 40, 140), (4, -40, 140))
    found = diadem_score(detour, FULL)
    assert found.misses == (Weighed(3, 2),)
    assert found.score == 6 / 8


@pytest.mark.parametrize(("weights", "excess"), [("degree", 8), ("uniform", 5)])
def test_extra_branches_weigh_their_tips(weights: Weights, excess: int) -> None:
    """A joint with three tips, one of them its own and two of a second joint."""
    bush = drawn(*TRUNK, (2, 60, 90), (6, 90, 120), (6, 30, 120), (2, 90, 10))
    found = diadem_score(bush, FULL.kept(np.arange(6) != 2), weights=weights)
    assert found.excess == excess
    assert {row for row, _ in found.extra} == {2, 6, 7, 8, 9}
    assert found.misses == ()


@pytest.mark.parametrize(("length", "counts"), [(5.9, 0), (6.1, 1)])
def test_short_branches_need_not_be_there(length: float, counts: int) -> None:
    twig = drawn(*TRUNK, (2, 90, 50), (2, 60, 50 + length))
    plain = drawn(*TRUNK, (2, 90, 50))
    assert len(diadem_score(plain, twig).misses) == counts
    assert diadem_score(twig, plain).excess == counts


@pytest.mark.parametrize(("shift", "same"), [((0, 0, 3.9), True), ((0, 4.0, 0), False)])
def test_the_reach_in_the_plane(shift: tuple[float, ...], same: bool) -> None:
    assert (diadem_score(FULL.moved(shift), FULL).score == 1.0) is same


@pytest.mark.parametrize(("sections", "same"), [(5, True), (5.1, False)])
def test_the_reach_along_z(sections: float, same: bool) -> None:
    assert (diadem_score(FULL.moved([sections, 0, 0]), FULL).score == 1.0) is same


@pytest.mark.parametrize(
    ("shift", "settings"),
    [
        ((8, 0, 0), DiademSettings(sections=8)),
        ((14, 0, 0), DiademSettings(xy_per_z=1, sections=14)),
        ((0, 0, 5), DiademSettings(reach=5)),
    ],
)
def test_tolerances_are_used(shift: tuple[float, ...], settings: DiademSettings) -> None:
    assert diadem_score(FULL.moved(shift), FULL).score < 1
    assert diadem_score(FULL.moved(shift), FULL, settings).score == 1


def test_longer_paths_are_allowed_where_asked() -> None:
    winding = drawn((-1, 0, 0), (0, 5, 10), (1, -5, 20), (2, 5, 30), (3, 0, 50), (4, 60, 50), (4, 0, 100))
    truth = FULL.kept(np.arange(6) < 4)
    assert Weighed(1, 2) in diadem_score(winding, truth).misses
    assert diadem_score(winding, truth, DiademSettings(path_error=0.3)).misses == ()


def test_of_two_joints_nearby_the_one_with_the_right_descendants_is_taken() -> None:
    """A stray joint lies where the true one is, the right one beside it; the stray tips are in excess."""
    truth = drawn((-1, 0, 0), (0, 0, 50), (1, 60, 50), (1, 0, 120))
    stray = ((0, 0, 50), (1, -60, 50), (1, -60, 90))
    pred = drawn((-1, 0, 0), *stray, (0, 3, 50), (4, 60, 50), (4, 0, 120))
    found = diadem_score(pred, truth)
    assert found.misses == ()
    assert {row for row, _ in found.extra} == {2, 3}


def test_a_fork_further_along_is_still_the_joint() -> None:
    """It forks 9 pixels later, more than the reach and less than three times as much."""
    truth = drawn((-1, 0, 0), (0, 0, 50), (1, 100, 150), (1, -100, 150))
    pred = drawn((-1, 0, 0), (0, 0, 59), (1, 100, 150), (1, -100, 150))
    assert diadem_score(pred, truth).score == 1.0


def test_more_than_two_children_are_joined_by_nearness() -> None:
    star = drawn((-1, 0, 0), (0, 0, 20), (1, 0, 40), (1, 30, 20), (1, 1, 40))
    tree = critical_tree(star, 1.0, 3.94, 15.0)
    assert tree.rows == [0, 1, 3, 1, 2, 4]
    assert tree.children == [(), (2, 3), (), (4, 5), (), ()]
    assert tree.spans[3].whole == 0
    assert diadem_score(star, star).score == 1.0


def test_several_branches_at_the_root() -> None:
    tree = drawn((-1, 0, 0), (0, 0, 50), (0, 50, 0), (0, -50, 0), (1, 30, 80), (1, -30, 80))
    assert diadem_score(tree, tree) == (1.0, 6, 6, 0, (), ())
    assert diadem_score(tree.kept(np.arange(6) != 3), tree).score == 5 / 6


def test_only_the_first_of_several_trees_counts() -> None:
    two = Tree.of([*FULL.points, (0, 200, 200), (0, 200, 290)], [*FULL.parent.tolist(), -1, 6])
    assert diadem_score(two, FULL).score == 1.0
    assert diadem_score(FULL, two).score == 1.0


def test_trees_without_nodes_or_edges() -> None:
    nothing, node = FULL.kept(np.zeros(6, bool)), FULL.kept(np.arange(6) == 0)
    assert diadem_score(nothing, nothing).score == 1.0
    assert diadem_score(node, node).score == 1.0
    for lone in (nothing, node):
        assert diadem_score(lone, FULL).score == 0.0
        assert diadem_score(FULL, lone).score == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_random_trees(seed: int) -> None:
    """The score adds up, is perfect for the same tree, and each node is named once at most."""
    rng = np.random.default_rng(seed)
    parents = [-1, *(int(rng.integers(max(0, row - 4), row)) for row in range(1, 60))]
    points = np.zeros((60, 3))
    for row in range(1, 60):
        points[row] = points[parents[row]] + rng.normal(0, (1, 12, 12))
    truth = Tree.of(points, parents)
    assert diadem_score(truth, truth).score == 1.0
    pred = Tree.of(points + rng.normal(0, 2, points.shape), parents)
    found = diadem_score(pred, truth)
    assert 0 < found.score < 1
    assert found.score == found.found / (found.total + found.excess)
    assert found.total - found.found == sum(weight for _, weight in found.misses)
    assert all(0 < row < 60 for row, _ in (*found.misses, *found.extra))
