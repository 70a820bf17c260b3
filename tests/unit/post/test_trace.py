"""A drawn tree is traced back: its branches, its gaps, its root, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from morula.core.tree import Tree
from morula.data import draw_tree
from morula.metrics import tolerance_scores
from morula.post import Tracing, bridged, components, neuron_piece, trace

SHAPE = (20, 80, 90)
NEURON = Tree.of(
    [[10, 8, 8], [10, 30, 30], [8, 60, 34], [12, 34, 70], [12, 60, 80], [12, 20, 84]], [-1, 0, 1, 1, 3, 3]
)


def drawn(tree: Tree = NEURON, radius: float = 2.0) -> np.ndarray:
    return draw_tree(tree, SHAPE, least=radius, largest=radius)


def soft(mask: np.ndarray) -> np.ndarray:
    return np.clip(1.4 * ndi.gaussian_filter(mask.astype(np.float32), 0.8), 0, 1)


@pytest.mark.parametrize("probability", [drawn(), drawn().astype(np.uint16), soft(drawn())])
@pytest.mark.parametrize("root", [None, (10, 8, 8)])
def test_a_tree_comes_back(probability: np.ndarray, root: tuple[int, ...] | None) -> None:
    found = trace(probability, root=root)
    assert tuple(tolerance_scores(found, NEURON, 1.5)) == pytest.approx((1, 1, 1), abs=0.06)
    assert len(found.roots) == 1
    assert len(found.tips) == 3  # and the fourth end is the root
    assert len(found.branch_points) >= 2
    assert 1.5 < np.median(found.radius) < 3.5


def test_the_given_root_is_the_first_node() -> None:
    found = trace(drawn(), root=(12, 60, 80))
    assert np.linalg.norm(found.points[0] - [12, 60, 80]) < 3


@pytest.mark.parametrize("root", [(10, 40, 30), (10, 43, 30), (8, 43, 30)])
def test_a_tracing_that_begins_part_way_goes_one_way(root: tuple[int, ...]) -> None:
    line = Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0])
    found = trace(drawn(line), root=root)
    assert found.points[:, 2].min() > 27
    assert len(found.roots) == 1
    assert found.points[:, 2].max() > 82


def test_three_long_branches_at_the_given_root_all_stay() -> None:
    star = Tree.of([[10, 40, 45], [10, 40, 5], [10, 75, 75], [10, 5, 75]], [-1, 0, 0, 0])
    found = trace(drawn(star), root=(10, 40, 45))
    assert found.length == pytest.approx(star.length, rel=0.1)


@pytest.mark.parametrize("body", [0.0, 3.0])
@pytest.mark.parametrize("beside", [(0, 0, 0), (0, 2, 0), (0, 0, -3), (1, -2, 2), (0, 2, -2)])
def test_a_root_beside_a_fork_cuts_no_branch_off(body: float, beside: tuple[int, ...]) -> None:
    star = Tree.of([[10, 40, 45], [10, 40, 10], [12, 70, 65], [8, 12, 66]], [-1, 0, 0, 0])
    mask = drawn(star, 1.5) | draw_tree(Tree.of([star.points[0]], [-1], body), SHAPE)
    found = trace(mask, root=star.points[0] + beside)
    assert tolerance_scores(found, star, 2.0).recall > 0.95


def test_branches_that_share_their_first_voxels_are_told_apart() -> None:
    fork = Tree.of([[5, 30, 30], [5, 30, 55], [5, 5, 10], [5, 55, 10]], [-1, 0, 0, 0])
    found = trace(draw_tree(fork, (10, 60, 60), least=1.5, largest=1.5), root=(5, 30, 30))
    assert len(found.tips) == 3
    assert tolerance_scores(found, fork, 2.0).recall > 0.95


def test_from_a_cell_body_all_branches_leave() -> None:
    line = drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0]))
    line |= draw_tree(Tree.of([[10, 40, 45]], [-1], 8.0), SHAPE)
    for root in (None, (10, 40, 45)):
        found = trace(line, root=root)
        assert np.linalg.norm(found.points[0] - [10, 40, 45]) < 3
        assert found.points[:, 2].min() < 8
        assert found.points[:, 2].max() > 82


def test_short_branches_are_dropped() -> None:
    spur = Tree.of([[10, 40, 5], [10, 40, 45], [10, 40, 85], [10, 47, 45]], [-1, 0, 1, 1])
    assert len(trace(drawn(spur)).tips) == 1
    assert len(trace(drawn(spur), tracing=Tracing(least_branch=3.0)).tips) == 2


def test_gaps_are_bridged_up_to_a_width() -> None:
    line = drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0]))
    line[:, :, 40:48] = False
    assert trace(line).length > 70
    assert trace(line, tracing=Tracing(gap=4.0)).length < 45


@pytest.mark.parametrize("probability", [0.0, 1e-6, 1e-4])
def test_a_bridge_stays_where_it_is_however_unlikely_its_voxels_are(probability: float) -> None:
    line = soft(drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0])))
    line[:, :, 40:48] = probability
    found = trace(line)
    assert found.length == pytest.approx(80, abs=6)
    assert np.abs(found.points[:, :2] - (10, 40)).max() < 1.5


def test_a_gap_may_be_wider_where_it_is_likely() -> None:
    line = drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0])).astype(np.float32)
    line[:, :, 40:60] *= 0.2
    assert trace(line, tracing=Tracing(gap=6.0)).length > 70
    line[:, :, 45:55] *= 0.1
    assert trace(line, tracing=Tracing(gap=6.0)).length < 45


@pytest.mark.parametrize(("wide", "reaches"), [(20, True), (34, False)])
def test_from_a_broken_end_at_the_given_root_a_wide_gap_is_crossed(wide: int, reaches: bool) -> None:
    start = 14 + wide
    broken = drawn(Tree.of([[10, 40, 2], [10, 40, 14]], [-1, 0]))
    broken |= drawn(Tree.of([[10, 40, start], [10, 40, start + 30], [10, 75, start + 40]], [-1, 0, 1]))
    aside = drawn(Tree.of([[10, 24, 48], [10, 24, 60]], [-1, 0]))  # as near, and continues nothing
    tracing = Tracing(gap=6.0)
    found = neuron_piece(broken | aside, root=(10, 40, 2), tracing=tracing)
    assert found[10, 40, 5]
    assert found[10, 40, start + 10] == reaches
    assert not found[10, 24, 54]
    assert not neuron_piece(broken | aside, tracing=tracing)[10, 40, 5]
    assert (trace(broken, root=(10, 40, 2), tracing=tracing).length > 60) == reaches


def test_a_small_neuron_at_the_given_root_is_not_its_great_neighbour() -> None:
    small = drawn(Tree.of([[10, 20, 30], [10, 20, 50]], [-1, 0]))
    great = drawn(Tree.of([[10, 40, 2], [10, 40, 80], [10, 75, 80], [10, 75, 5]], [-1, 0, 1, 2]))
    found = neuron_piece(small | great, root=(10, 20, 30), tracing=Tracing(gap=6.0))
    np.testing.assert_array_equal(found, small)


def test_sections_deeper_than_pixels_make_no_neuron_thin() -> None:
    depth = 5.0
    z, y, x = np.mgrid[:20, :80, :300]
    away = np.sqrt((depth * (z - 10.0)) ** 2 + (y - 40.0) ** 2)
    body = np.sqrt(away**2 + (x - 150.0) ** 2) <= 30
    tree = trace(body | (away <= 8), tracing=Tracing(depth=depth))
    assert np.linalg.norm((tree.points[0] - [10, 40, 150]) * [depth, 1, 1]) < 8
    assert tree.radius.max() == pytest.approx(30, abs=4)
    assert np.median(tree.radius[np.abs(tree.points[:, 2] - 150) > 33]) == pytest.approx(8, abs=3)
    assert len(tree.branch_points) <= 3  # none of them in the cell body but the root
    assert (np.abs(tree.points[tree.branch_points[1:], 2] - 150) > 40).all()


def test_no_bridge_leads_through_another_neuron() -> None:
    mask = np.zeros((3, 9, 30), bool)
    mask[1, 4, :10] = mask[1, 4, 20:] = True
    cost = np.full(mask.shape, 0.1, np.float32)
    assert components(bridged(mask, 4.0, cost=cost)).max() == 1
    cost[:, :, 14] = np.inf
    assert components(bridged(mask, 4.0, cost=cost)).max() == 2


def test_one_neuron_and_its_neighbour() -> None:
    other = Tree.of([[10, 75, 5], [10, 75, 40]], [-1, 0])
    both, near = drawn() | drawn(other), Tracing(gap=5.0)
    assert tolerance_scores(trace(both, tracing=near), NEURON, 1.5).precision > 0.95
    assert tolerance_scores(trace(both, root=(10, 75, 5), tracing=near), other, 1.5).f1 > 0.95


def test_the_longest_neurites_win_over_a_bright_body_and_stay_apart_from_it() -> None:
    line = drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0]))
    body = draw_tree(Tree.of([[10, 62, 45], [10, 62, 70]], [-1, 0], [9.0, 2.0]), SHAPE)
    assert body.sum() > 2 * line.sum()
    both = line | body
    found = trace(both)
    assert 1 <= (body.any(axis=0).argmax(axis=0)[45] - 42) <= 12  # near enough for a bridge
    assert found.points[:, 1].max() < 45
    assert found.length > 70
    assert len(trace(body)) > 0


def test_what_number_a_label_has_does_not_matter() -> None:
    line, speck = drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0])), np.zeros(SHAPE, bool)
    speck[9:12, 70:73, 5:15] = True
    found = trace(line + np.uint16(37) * speck)
    np.testing.assert_array_equal(found.points, trace(line | speck).points)
    assert found.length > 70
    half = drawn() * np.arange(1, 1 + SHAPE[2], dtype=np.uint16)
    np.testing.assert_array_equal(trace(half).points, trace(half > 0).points)


def test_near_a_given_root_a_speck_is_not_the_neuron() -> None:
    speck = drawn()
    speck[10, 4, 4] = True
    assert trace(speck, root=(10, 4, 4)).length > 100


@pytest.mark.parametrize("away", [8, 15])
def test_a_speck_at_the_given_root_is_the_neuron_only_where_nothing_else_is(away: int) -> None:
    line = drawn(Tree.of([[10, 40, away], [10, 40, 85]], [-1, 0]), 1.5)
    line[10, 40, 0] = True
    settings = Tracing(gap=6, speck=30)
    assert trace(line, root=(10, 40, 0), tracing=settings).length > 65
    assert len(trace(line, root=(10, 40, 0), tracing=Tracing(gap=1))) == 1
    line[:, :, 1:] = False
    assert len(trace(line, root=(10, 40, 0), tracing=settings)) == 1


def test_weak_voxels_count_where_they_touch_strong_ones() -> None:
    line = drawn(Tree.of([[10, 40, 5], [10, 40, 85]], [-1, 0])).astype(np.float32)
    line[:, :, 45:] *= 0.4
    assert trace(line).length > 70
    assert trace(line, tracing=Tracing(weak=0.5)).length < 45
    assert not len(trace(line * 0.9, tracing=Tracing(threshold=0.95, weak=0.3)))


def test_nothing_to_trace() -> None:
    assert not len(trace(np.zeros(SHAPE, np.float32)))


def test_bridges_are_as_few_as_join_all() -> None:
    mask = np.zeros((1, 9, 20), bool)
    mask[0, 1:3, 1:3] = mask[0, 1:3, 6:8] = mask[0, 6:8, 4:6] = mask[0, 7, 18] = True
    joined = bridged(mask, 5.0)
    assert (joined & mask).sum() == mask.sum()
    labels, count = ndi.label(joined, np.ones((3, 3, 3)))
    assert count == 2
    assert labels[0, 7, 18] != labels[0, 1, 1]
    assert 0 < (joined & ~mask).sum() <= 6
    np.testing.assert_array_equal(bridged(mask, 0.0), mask)


@pytest.mark.parametrize("wide", [1, 2])
def test_a_neuron_as_thin_as_a_voxel_is_traced(wide: int) -> None:
    mask = np.zeros((5, 9, 40), bool)
    mask[2 : 2 + wide, 4 : 4 + wide, 3:37] = True
    for root in (None, (2, 4, 36)):
        tree = trace(mask, root=root)
        assert tree.length == pytest.approx(33, abs=2.1)


def test_what_cheap_voxels_lie_far_away_changes_no_bridge() -> None:
    mask = np.zeros((1, 9, 60), bool)
    mask[0, 4, :10] = mask[0, 4, 20:30] = True
    cost = np.full(mask.shape, 0.5, np.float32)
    joined = bridged(mask, 6.0, cost=cost)
    assert components(joined).max() == 1
    assert components(bridged(mask, 4.0, cost=cost)).max() == 2
