"""Fragments to neurons: the pair with the best contact is joined, again and again, and all is remembered.

One pass gives a tree of merges that can be cut at any threshold, so a threshold is tuned at the price of one
segmentation. The score of a contact is one minus an affinity: 0 joins first, 1 last.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
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


_Joint = tuple[float, int, int]  # score, contact, version of the contact
_AT_ONCE = 2**16  # contacts that are Python's objects at a time


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
    first, second = (array("q", graph.pairs[:, side].astype(np.int64).tobytes()) for side in (0, 1))
    version = [0] * len(first)
    waiting, heap = _by_score(contacts, len(first)), list[_Joint]()
    following = next(waiting, None)
    merges, scores = array("q"), array("d")
    while heap or following:
        if following is None or (heap and heap[0] < following):
            score, number, at = heappop(heap)
        else:
            (score, number, at), following = following, next(waiting, None)
        if version[number] != at:
            continue
        kept, gone = first[number], second[number]
        merges.extend((kept, gone))
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
                first[across], second[across] = kept, other
                continue
            low, high = sorted((same, across))
            contacts.pool(low, high)
            version[high] = -1
            version[low] += 1
            neighbours[kept][other] = neighbours[other][kept] = low
            first[low], second[low] = kept, other
            heappush(heap, (contacts.score(low), low, version[low]))
        neighbours[gone] = {}
    pairs = np.frombuffer(merges, np.int64) if merges else np.zeros(0, np.int64)
    return MergeTree(graph.size, pairs.reshape(-1, 2), np.array(scores))


def relabel(fragments: Array, lookup: Array) -> Array:
    """The volume with each fragment's label.

    Args:
        fragments: `(z, y, x)`, 0..n.
        lookup: `(n + 1,)`, as `MergeTree.cut` gives it.
    """
    return lookup[fragments]


class _Contacts:
    """What is known of each contact, pooled as regions are joined."""

    def __init__(self, graph: RegionGraph, linkage: Linkage) -> None:
        self.score: Callable[[int], float] = self._mean if linkage == "mean" else self._median
        self.pool: Callable[[int, int], None] = self._pool_mean if linkage == "mean" else self._pool_bins
        self._counts = array("q", graph.contacts.astype(np.int64).tobytes())
        self._sums = array("d", (graph.means * graph.contacts).astype(np.float64).tobytes())
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


def _by_score(contacts: _Contacts, count: int) -> Iterator[_Joint]:
    """The contacts there are at first, the best first; a heap of them all would be most of the memory."""
    scores = np.fromiter(map(contacts.score, range(count)), np.float64, count)
    order = np.argsort(scores, kind="stable")
    for start in range(0, count, _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        for score, number in zip(scores[part].tolist(), part.tolist(), strict=True):
            yield score, number, 0


def _neighbours(graph: RegionGraph) -> list[dict[int, int]]:
    """For each fragment the contact with each of its neighbours."""
    found: list[dict[int, int]] = [{} for _ in range(graph.size + 1)]
    nodes = list(range(graph.size + 1))  # one object a fragment, however many neighbours it has
    for start in range(0, len(graph.pairs), _AT_ONCE):
        pairs: list[list[int]] = graph.pairs[start : start + _AT_ONCE].tolist()
        for number, (one, other) in enumerate(pairs, start):
            found[one][nodes[other]] = found[other][nodes[one]] = number
    return found


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
