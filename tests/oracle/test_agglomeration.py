"""Region graphs, merge trees, multicuts and the mutex watershed against slow definitions on tiny volumes."""

from __future__ import annotations

from itertools import product
from statistics import mean, median_high

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morula.blockwise import BlockGrid
from morula.core.affinities import NEAREST, Affinities
from morula.post import (
    MergeTree,
    RegionGraph,
    agglomerate,
    contact_sums,
    multicut,
    mutex_watershed,
    pooled_graph,
    region_graph,
    relabel,
)
from morula.post.partition import multicut_costs
from morula.post.region_graph import BINS
from morula.targets import affinities

OFFSETS = (*NEAREST, (0, -2, 0), (0, 0, -3))
seeds = st.integers(0, 10**6)


def scene(seed: int, shape: tuple[int, ...] = (2, 4, 5), labels: int = 6) -> tuple[np.ndarray, Affinities]:
    rng = np.random.default_rng(seed)
    fragments = np.unique(rng.integers(1, labels + 1, shape), return_inverse=True)[1].reshape(shape) + 1
    return fragments, Affinities(rng.random((len(OFFSETS), *shape)).astype(np.float32), OFFSETS)


def in_bins_of_their_own(given: Affinities, seed: int) -> Affinities:
    """Other affinities, no two in one bin: pooled contacts never share a median, so one order is right."""
    assert given.values.size <= BINS
    bins = np.random.default_rng(seed).permutation(BINS)[: given.values.size].reshape(given.values.shape)
    return Affinities(((bins + 0.5) / BINS).astype(np.float32), given.offsets)


def contacts(fragments: np.ndarray, given: Affinities) -> dict[tuple[int, int], list[float]]:
    """The affinities between each pair of fragments that touch."""
    found: dict[tuple[int, int], list[float]] = {}
    for offset, channel in zip(given.offsets, given.values, strict=True):
        for place in product(*map(range, fragments.shape)):
            other = tuple(a + b for a, b in zip(place, offset, strict=True))
            if min(other) >= 0 and fragments[place] != fragments[other]:
                pair = tuple(sorted((int(fragments[place]), int(fragments[other]))))
                if pair in found or sum(map(abs, offset)) == 1:
                    found.setdefault(pair, []).append(float(channel[place]))  # type: ignore[arg-type]
    return found


def slow_agglomeration(
    graph: dict[tuple[int, int], list[float]], size: int, linkage: str, threshold: float
) -> list[int]:
    """Joins the best pair until none scores below the threshold; all scores anew in every round."""
    label = list(range(size + 1))
    if linkage == "median-of-maxima":
        graph = {pair: [max(values)] for pair, values in graph.items()}

    def score(values: list[float]) -> float:
        if linkage == "mean":
            return 1 - mean(values)
        binned = [min(int(value * BINS), BINS - 1) for value in values]
        return 1 - (median_high(binned) + 0.5) / BINS

    while True:
        pooled: dict[tuple[int, int], list[float]] = {}
        for (one, other), values in graph.items():
            pair = tuple(sorted((label[one], label[other])))
            if pair[0] != pair[1]:
                pooled.setdefault(pair, []).extend(values)  # type: ignore[arg-type]
        best = min(((score(values), pair) for pair, values in pooled.items()), default=None)
        if best is None or best[0] >= threshold:
            return label
        label = [best[1][0] if each == best[1][1] else each for each in label]


def same_partition(one: np.ndarray | list[int], other: np.ndarray | list[int]) -> bool:
    pairs = set(zip(np.asarray(one).ravel().tolist(), np.asarray(other).ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_region_graph_is_all_affinities_between_fragments_that_touch(seed: int) -> None:
    fragments, given_affinities = scene(seed)
    graph = region_graph(fragments, given_affinities, histograms=True)
    expected = contacts(fragments, given_affinities)
    assert [tuple(pair) for pair in graph.pairs.tolist()] == sorted(expected)
    assert graph.histograms is not None
    for number, pair in enumerate(sorted(expected)):
        values = expected[pair]
        assert graph.contacts[number] == len(values) == graph.histograms[number].sum()
        assert graph.means[number] == pytest.approx(mean(values))
        assert graph.highest[number] == max(values)
        assert graph.histograms[number, min(int(max(values) * BINS), BINS - 1)] > 0


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_fragments_with_high_numbers_touch_alike(seed: int) -> None:
    """Few fragments are paired in a table, many are sorted."""
    fragments, given_affinities = scene(seed)
    few, many = (
        region_graph(each, given_affinities, histograms=True) for each in (fragments, fragments * 9999)
    )
    assert np.array_equal(few.pairs * 9999, many.pairs) and few.histograms is not None
    assert np.array_equal(few.means, many.means) and np.array_equal(few.highest, many.highest)
    assert many.histograms is not None and np.array_equal(few.histograms, many.histograms)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_parts_of_a_volume_add_up(seed: int) -> None:
    fragments, whole = scene(seed)
    parts = [
        contact_sums(fragments, Affinities(whole.values[:, *box], whole.offsets), inside=box)
        for box in BlockGrid(fragments.shape, (2, 3, 2), (0, 0, 0))
    ]
    added, at_once = pooled_graph(parts, int(fragments.max())), region_graph(fragments, whole)
    assert np.array_equal(added.pairs, at_once.pairs) and np.array_equal(added.contacts, at_once.contacts)
    assert np.allclose(added.means, at_once.means) and np.array_equal(added.highest, at_once.highest)
    with pytest.raises(ValueError, match="for affinities"):
        contact_sums(fragments, whole, inside=(slice(0, 1),) * 3)


@pytest.mark.parametrize("linkage", ["mean", "median", "median-of-maxima"])
@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_cut_tree_is_an_agglomeration_with_that_threshold(linkage: str, seed: int) -> None:
    fragments, given_affinities = scene(seed, labels=9)
    if linkage != "mean":
        given_affinities = in_bins_of_their_own(given_affinities, seed)
    graph = region_graph(fragments, given_affinities, histograms=True)
    tree = agglomerate(graph, linkage)  # type: ignore[arg-type]
    for threshold in (0.2, 0.5, 0.7, 2.0):
        slow = slow_agglomeration(contacts(fragments, given_affinities), graph.size, linkage, threshold)
        assert same_partition(tree.cut(threshold), slow)


def test_labels_of_a_cut_have_no_gaps_and_keep_zero() -> None:
    tree = MergeTree(4, np.array([[2, 4], [1, 2]]), np.array([0.1, 0.6]))
    assert tree.cut(0.1).tolist() == [0, 1, 2, 3, 4]
    assert tree.cut(0.5).tolist() == [0, 1, 2, 3, 2]
    assert tree.cut(1.0).tolist() == [0, 1, 1, 2, 1]
    fragments = np.array([[[0, 4, 3]]])
    assert relabel(fragments, tree.cut(0.5)).ravel().tolist() == [0, 2, 3]


def test_a_later_merge_with_a_lower_score_waits_for_the_one_before() -> None:
    """Pooling can make a contact better than any before; the cut stops at the first that is too bad."""
    tree = MergeTree(3, np.array([[1, 2], [1, 3]]), np.array([0.6, 0.2]))
    assert tree.cut(0.5).tolist() == [0, 1, 2, 3]


def test_true_affinities_give_the_true_objects_whatever_the_linkage() -> None:
    truth = np.random.default_rng(3).integers(1, 4, (2, 3, 3)).repeat(2, 1).repeat(3, 2)
    fragments = np.arange(1, truth.size + 1).reshape(truth.shape)
    graph = region_graph(fragments, affinities(truth, NEAREST), histograms=True)
    parts = touching(truth)
    for linkage in ("mean", "median", "median-of-maxima"):
        assert same_partition(relabel(fragments, agglomerate(graph, linkage).cut(0.5)), parts)  # type: ignore[arg-type]
    assert same_partition(relabel(fragments, multicut(graph)), parts)


def touching(truth: np.ndarray) -> np.ndarray:
    return cc3d.connected_components(truth, connectivity=6)


def energy(graph: RegionGraph, labels: np.ndarray, costs: np.ndarray) -> float:
    one, other = labels[graph.pairs[:, 0]], labels[graph.pairs[:, 1]]
    return float(costs[one != other].sum())


@pytest.mark.parametrize("seed", range(8))
def test_a_multicut_is_the_cheapest_of_all_partitions(seed: int) -> None:
    fragments, given_affinities = scene(seed, shape=(1, 3, 4), labels=5)
    graph = region_graph(fragments, given_affinities)
    costs = multicut_costs(graph, 0.5)
    every = (np.array([0, *labels]) for labels in product(range(1, graph.size + 1), repeat=graph.size))
    best = min(energy(graph, labels, costs) for labels in every)
    found = multicut(graph)
    assert sorted(set(found[1:].tolist())) == list(range(1, found.max() + 1))
    assert energy(graph, found, costs) == pytest.approx(best)


def test_costs_are_those_of_the_formula() -> None:
    graph = RegionGraph(3, np.array([[1, 2], [2, 3]]), np.array([4, 2]), np.array([1.0, 0.25]), np.ones(2))
    low, high = 0.001, 0.998 * 0.75 + 0.001
    expected = [np.log((1 - low) / low), np.log((1 - high) / high) / 2]
    assert multicut_costs(graph, 0.5) == pytest.approx(expected)
    assert multicut_costs(graph, 0.9)[0] < expected[0]
    with pytest.raises(ValueError, match="beta"):
        multicut_costs(graph, 1.0)


def slow_mutex(given: Affinities) -> np.ndarray:
    """All edges, strongest first; a repulsive one forbids, an attractive one joins what is not forbidden."""
    numbers = np.arange(np.prod(given.shape)).reshape(given.shape)
    edges: list[tuple[float, bool, int, int]] = []
    for offset, channel in zip(given.offsets, given.values, strict=True):
        attracts = offset in NEAREST
        for place in product(*map(range, given.shape)):
            other = tuple(a + b for a, b in zip(place, offset, strict=True))
            if min(other) >= 0:
                weight = float(channel[place]) if attracts else float(1 - channel[place])
                edges.append((weight, attracts, int(numbers[place]), int(numbers[other])))
    label = list(range(numbers.size))
    forbidden: set[frozenset[int]] = set()
    for _, attracts, one, other in sorted(edges, reverse=True):
        a, b = label[one], label[other]
        if a == b or (attracts and frozenset((a, b)) in forbidden):
            continue
        if not attracts:
            forbidden.add(frozenset((a, b)))
            continue
        label = [a if each == b else each for each in label]
        forbidden = {frozenset(a if each == b else each for each in pair) for pair in forbidden}
    return np.array(label).reshape(given.shape)


@pytest.mark.parametrize("seed", range(6))
def test_the_mutex_watershed_is_kruskal_with_vetoes(seed: int) -> None:
    _, given_affinities = scene(seed)
    found = mutex_watershed(given_affinities)
    assert found.min() == 1
    assert same_partition(found, slow_mutex(given_affinities))


def test_the_mutex_watershed_reads_offsets_and_polarity() -> None:
    truth = np.ones((3, 8, 10), int)
    truth[1:, 4:, 6:] = 2
    given_affinities = affinities(truth, OFFSETS)
    turned = Affinities(1 - given_affinities.values[::-1], OFFSETS[::-1], "repulsive")
    assert same_partition(mutex_watershed(given_affinities), truth)
    assert same_partition(mutex_watershed(turned), truth)
    with pytest.raises(ValueError, match="beyond the nearest"):
        mutex_watershed(given_affinities.nearest())


def test_fragments_of_another_size_are_refused() -> None:
    fragments, given_affinities = scene(0)
    with pytest.raises(ValueError, match="fragments"):
        region_graph(fragments[:1], given_affinities)
    with pytest.raises(ValueError, match="histograms"):
        agglomerate(region_graph(fragments, given_affinities), "median")
