"""Which fragments touch, and what the affinities across each contact say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morula.core.affinities import Affinities, edge
from morula.core.types import Array

__all__ = ["BINS", "RegionGraph", "region_graph"]

BINS = 256
"""Of a histogram of affinities."""


@dataclass(frozen=True, eq=False)
class RegionGraph:
    """Fragments as nodes, contacts as edges.

    Attributes:
        size: the fragments are 1..size; node 0 stands for none.
        pairs: `(k, 2)` fragments that touch, the lower first, sorted.
        contacts: `(k,)` affinities across each contact.
        means: `(k,)` their mean; 1 is the same object.
        highest: `(k,)` the largest of them.
        histograms: `(k, 256)` how they are spread over [0, 1], None where nobody asked.
    """

    size: int
    pairs: Array
    contacts: Array
    means: Array
    highest: Array
    histograms: Array | None = None


def region_graph(fragments: Array, affinities: Affinities, *, histograms: bool = False) -> RegionGraph:
    """Counts every affinity between two fragments.

    Fragments touch where the nearest affinities cross from one to the other. Channels of longer offsets, if
    there are any, add to what is known of fragments that touch; they make no contacts of their own.

    Args:
        fragments: `(z, y, x)` integers; 0 is left out.
        affinities: of the same volume.
        histograms: count those, too; 1 kB a contact.

    Raises:
        ValueError: the shapes differ.
    """
    if fragments.shape != affinities.shape:
        raise ValueError(f"fragments {fragments.shape} for affinities {affinities.shape}")
    attractive = affinities.attractive()
    size = int(fragments.max(initial=0))
    keys, values = list[Array](), list[Array]()
    for offset, channel in zip(attractive.offsets, attractive.values, strict=True):
        here, there = edge(offset, fragments.shape)
        one, other = fragments[here], fragments[there]
        across = (one != other) & (one > 0) & (other > 0)
        low, high = np.minimum(one[across], other[across]), np.maximum(one[across], other[across])
        keys.append(low.astype(np.int64) * (size + 1) + high)
        values.append(channel[here][across].astype(np.float32))
    near = [key for key, offset in zip(keys, attractive.offsets, strict=True) if _is_nearest(offset)]
    edges = np.unique(np.concatenate([np.zeros(0, np.int64), *near]))
    every, value = np.concatenate(keys), np.concatenate(values)
    number = np.searchsorted(edges, every)
    touching = np.append(edges, -1)[number] == every
    return _summed(size, edges, number[touching], value[touching], histograms)


def _summed(size: int, edges: Array, number: Array, value: Array, histograms: bool) -> RegionGraph:
    count = len(edges)
    contacts = np.bincount(number, minlength=count)
    means = np.bincount(number, weights=value, minlength=count) / np.maximum(contacts, 1)
    highest = np.zeros(count)
    np.maximum.at(highest, number, value)
    spread = None
    if histograms:
        cells = number * BINS + np.minimum((value * BINS).astype(np.int64), BINS - 1)
        spread = np.bincount(cells, minlength=count * BINS).reshape(count, BINS).astype(np.int32)
    pairs = np.stack([edges // (size + 1), edges % (size + 1)], axis=1)
    return RegionGraph(size, pairs, contacts, means, highest, spread)


def _is_nearest(offset: tuple[int, int, int]) -> bool:
    return sum(map(abs, offset)) == 1
