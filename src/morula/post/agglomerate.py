"""Fragments to neurons: the pair with the best contact is joined, again and again, and all is remembered.

One pass gives a tree of merges that can be cut at any threshold, so a threshold is tuned at the price of one
segmentation. The score of a contact is one minus an affinity: 0 joins first, 1 last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Literal

import numpy as np

from morula.core.types import Array
from morula.post.region_graph import BINS, RegionGraph

__all__ = ["Linkage", "MergeTree", "agglomerate", "relabel"]

Linkage = Literal["mean", "median", "median-of-maxima"]
"""What of the affinities across a contact counts.

* `mean`: of all of them.
* `median`: of all of them, in 256 bins.
* `median-of-maxima`: each original contact counts once, with its largest affinity; what waterz computes by
  default (`OneMinus<HistogramQuantileAffinity<..., 50, ..., 256>>`).
"""


@dataclass(frozen=True, eq=False)
class MergeTree:
    """All merges in the order in which they happened.

    Attributes:
        size: the fragments are 1..size.
        merges: `(m, 2)` a fragment of each of the two regions that were joined.
        scores: `(m,)` one minus the affinity between them then.
    """

    size: int
    merges: Array
    scores: Array

    def cut(self, threshold: float) -> Array:
        """The label of each fragment after all merges before the first that scores `threshold` or more.

        This is where an agglomeration with that threshold would have stopped.

        Returns:
            `(size + 1,)` int32: labels 1..N without gaps, by the lowest fragment in each; 0 for 0.
        """
        stops = np.flatnonzero(self.scores >= threshold)
        parent = list(range(self.size + 1))
        done: list[list[int]] = self.merges[: stops[0] if len(stops) else None].tolist()
        for one, other in done:
            low, high = sorted((_root(parent, one), _root(parent, other)))
            parent[high] = low
        roots = np.array([_root(parent, node) for node in range(self.size + 1)])
        return np.unique(roots, return_inverse=True)[1].astype(np.int32)


def agglomerate(graph: RegionGraph, linkage: Linkage = "mean") -> MergeTree:
    """Joins all that touches, the best contact first.

    Args:
        graph: fragments and contacts; with histograms for `median`.
        linkage: what of a contact counts. When two contacts become one, their affinities are pooled.

    Returns:
        The merges. Equal scores are joined in the order of the pairs.

    Raises:
        ValueError: `median` without histograms.

    Source: Funke et al., IEEE TPAMI 41:1669 (2019), section 3.3, for the quantiles; Lee et al., arXiv
    1706.00120, for the mean.
    """
    contacts = _Contacts(graph, linkage)
    neighbours = _neighbours(graph)
    heap = [(contacts.score(number), number, 0) for number in range(len(graph.pairs))]
    heapify(heap)
    ends: list[list[int]] = graph.pairs.tolist()
    version = [0] * len(ends)
    merges, scores = list[tuple[int, int]](), list[float]()
    while heap:
        score, number, at = heappop(heap)
        if version[number] != at:
            continue
        kept, gone = ends[number]
        merges.append((kept, gone))
        scores.append(score)
        if len(neighbours[kept]) < len(neighbours[gone]):
            kept, gone = gone, kept
        version[number] = -1
        del neighbours[kept][gone], neighbours[gone][kept]
        for other, across in neighbours[gone].items():
            del neighbours[other][gone]
            same = neighbours[kept].get(other)
            if same is None:
                neighbours[kept][other] = neighbours[other][kept] = across
                ends[across] = [kept, other]
                continue
            first, second = sorted((same, across))
            contacts.pool(first, second)
            version[second] = -1
            version[first] += 1
            neighbours[kept][other] = neighbours[other][kept] = first
            ends[first] = [kept, other]
            heappush(heap, (contacts.score(first), first, version[first]))
        neighbours[gone] = {}
    return MergeTree(graph.size, np.array(merges, np.int64).reshape(-1, 2), np.array(scores))


def relabel(fragments: Array, lookup: Array) -> Array:
    """The volume with each fragment's label, as `MergeTree.cut` gave it."""
    return lookup[fragments]


class _Contacts:
    """What is known of each contact, pooled as regions are joined."""

    def __init__(self, graph: RegionGraph, linkage: Linkage) -> None:
        self.score: Callable[[int], float] = self._mean if linkage == "mean" else self._median
        self.pool: Callable[[int, int], None] = self._pool_mean if linkage == "mean" else self._pool_bins
        self._counts: list[int] = graph.contacts.tolist()
        self._sums: list[float] = (graph.means * graph.contacts).tolist()
        self._bins = np.zeros((0, BINS), np.int32)
        if linkage == "median":
            if graph.histograms is None:
                raise ValueError("the median needs a region graph with histograms")
            self._bins = graph.histograms.copy()
        elif linkage == "median-of-maxima":
            self._bins = np.zeros((len(graph.pairs), BINS), np.int32)
            places = np.minimum((graph.highest * BINS).astype(np.int64), BINS - 1)
            self._bins[np.arange(len(places)), places] = 1

    def _mean(self, number: int) -> float:
        return 1 - self._sums[number] / self._counts[number]

    def _pool_mean(self, kept: int, gone: int) -> None:
        self._counts[kept] += self._counts[gone]
        self._sums[kept] += self._sums[gone]

    def _median(self, number: int) -> float:
        counted = self._bins[number].cumsum()
        pivot = int(counted[-1]) // 2 + 1
        return 1 - (int(np.searchsorted(counted, pivot)) + 0.5) / BINS

    def _pool_bins(self, kept: int, gone: int) -> None:
        self._bins[kept] += self._bins[gone]


def _neighbours(graph: RegionGraph) -> list[dict[int, int]]:
    """For each fragment the contact with each of its neighbours."""
    found: list[dict[int, int]] = [{} for _ in range(graph.size + 1)]
    pairs: list[list[int]] = graph.pairs.tolist()
    for number, (one, other) in enumerate(pairs):
        found[one][other] = found[other][one] = number
    return found


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
