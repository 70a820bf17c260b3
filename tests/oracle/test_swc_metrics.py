"""Distances between trees against loops over all pairs, and PyNeval's published values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from morula.core.tree import Tree
from morula.data.swc import read_swc
from morula.metrics import (
    distances_to_tree,
    length_scores,
    spatial_distances,
    substantial_distance,
    swc_length,
    tolerance_scores,
)


def tree(seed: int, count: int = 12, size: float = 8.0) -> Tree:
    """Edges of very different lengths, and a node alone."""
    rng = np.random.default_rng(seed)
    parents = [-1, *(int(rng.integers(0, row)) for row in range(1, count - 1)), -1]
    return Tree.of(rng.uniform(0, size, (count, 3)) ** rng.uniform(0.5, 1.5), parents)


def slow_distance(point: np.ndarray, other: Tree) -> float:
    away = [np.linalg.norm(point - node) for node in other.points]
    for child, parent in other.edges:
        a, b = other.points[child], other.points[parent]
        share = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        away.append(np.linalg.norm(point - a - share * (b - a)))
    return float(min(away))


def slow_vaa3d(one: Tree, other: Tree) -> tuple[float, float, float, float]:
    ways = []
    for a, b in ((one, other), (other, one)):
        found = []
        for child, parent in a.edges:
            start, stop = a.points[child], a.points[parent]
            length = np.linalg.norm(start - stop)
            count = int(1 + length + 0.5)
            step = (stop - start) / (count - 1) if count > 1 else 0
            found += [slow_distance(start + number * step, b) for number in range(count)]
        ways.append(found)
    far = [[each for each in way if each >= 2] for way in ways]
    means = [sum(each) / len(each) for each in far if each]
    return (
        sum(sum(way) / len(way) for way in ways) / 2,
        sum(means) / len(means) if means else 0.0,
        sum(len(each) / len(way) for each, way in zip(far, ways, strict=True)) / 2,
        min(map(max, ways)),
    )


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_exact(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-5, 60, (40, 3))
    other = tree(seed, count=40, size=30)
    expected = [slow_distance(point, other) for point in points]
    np.testing.assert_allclose(distances_to_tree(points, other), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_vaa3d_scores(seed: int) -> None:
    one, other = tree(seed), tree(seed + 50)
    np.testing.assert_allclose(spatial_distances(one, other), slow_vaa3d(one, other), atol=1e-9)


def test_a_shifted_tree() -> None:
    short = Tree.of([[0, 0, 0], [0, 0, 9], [0, 7, 9]], [-1, 0, 1])
    found = spatial_distances(short.moved([3, 0, 0]), short)
    assert tuple(found) == pytest.approx((3, 3, 1, 3))


def test_trees_without_edges() -> None:
    node, line = Tree.of([[0, 0, 0]], [-1]), Tree.of([[0, 0, 0], [0, 0, 9]], [-1, 0])
    assert tuple(spatial_distances(node, node)) == (0, 0, 0, 0)
    assert tuple(spatial_distances(node, line)) == (np.inf, np.inf, 1, np.inf)


def test_tolerance_counts_length_and_not_nodes() -> None:
    truth = Tree.of([[0, 0, x] for x in range(11)] + [[0, 30, 0]], [*range(-1, 10), 0])
    found = tolerance_scores(Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0]), truth, 1.0)
    assert found.precision == 1
    assert found.recall == pytest.approx(11 / 40, abs=0.02)
    nothing = truth.kept(np.zeros(len(truth), bool))
    assert tuple(tolerance_scores(nothing, truth, 1.0)) == (0, 0, 0)
    assert tuple(tolerance_scores(nothing, nothing, 1.0)) == (1, 1, 1)


def test_short_edges_do_not_count_more_than_long_ones() -> None:
    dense = Tree.of([[0, 0, x / 100] for x in range(1001)] + [[0, 30, 10]], [*range(-1, 1000), 1000])
    found = tolerance_scores(dense, Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0]), 0.5)
    assert found.precision == pytest.approx(10.5 / 40)
    assert found.recall == 1
    lone = Tree.of([[0, 0, 0], [9, 9, 9]], [-1, -1])
    assert tolerance_scores(lone, dense, 0.5).precision == 0.5


def test_a_path_is_taken_once() -> None:
    line = Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0])
    double = Tree.of([[0, 0, 0], [0, 0, 10], [0, 1, 0], [0, 1, 10]], [-1, 0, -1, 2])
    assert tuple(length_scores(line, double)) == pytest.approx((0.5, 1, 2 / 3))
    assert tuple(length_scores(double, line)) == pytest.approx((1, 0.5, 2 / 3))


@pytest.mark.parametrize("radius", [0.3, 2.0, 5.0])
def test_length_looks_at_every_edge_that_matters(radius: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(tree(seed, 40), tree(seed, 40).moved([0, 0.2, 0])) for seed in range(5)]
    found = [length_scores(*pair, radius=radius) for pair in pairs]
    near = swc_length.samples_of
    monkeypatch.setattr(swc_length, "samples_of", lambda *edges: (*near(*edges)[:2], np.inf))
    assert found == [length_scores(*pair, radius=radius) for pair in pairs]
    assert radius < 1 or any(0 < each.f1 < 1 for each in found)


@pytest.mark.real
def test_pyneval(real_data: Path) -> None:
    cases = sorted((real_data / "metric_cases/open/pyneval_std").iterdir())
    assert cases
    for case in cases:
        truth, pred = (read_swc(case / f"{name}.swc").tree for name in ("gold", "test"))
        ssd, length = (json.loads((case / f"std_{name}.json").read_text()) for name in ("ssd", "length"))
        found = substantial_distance(pred, truth)
        expected = ssd["avg_score"], ssd["recall"], ssd["precision"]
        assert tuple(found) == pytest.approx(expected, abs=1e-12), case.name
        assert tuple(length_scores(pred, truth))[:2] == pytest.approx(
            (length["recall"], length["precision"]), abs=1e-8
        ), case.name
