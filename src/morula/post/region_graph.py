"""Which fragments touch, and what the affinities across each contact say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from morula.core.affinities import Affinities, edge
from morula.core.types import Array

__all__ = ["BINS", "ContactSums", "RegionGraph", "contact_sums", "pooled_graph", "region_graph"]

BINS = 256
"""Of a histogram of affinities."""
_TABLE = 2**25  # pairs of fragments that are looked up in a table; sorting takes ten times as long


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


@dataclass(frozen=True, eq=False)
class ContactSums:
    """What a part of a volume knows of the contacts between fragments; parts add up to the whole.

    Attributes:
        pairs: `(k, 2)` fragments with affinities between them, the lower first, sorted.
        near: `(k,)` how many of these are of the nearest offsets: without any, the fragments do not touch.
        contacts: `(k,)` affinities between the two.
        totals: `(k,)` their sum.
        highest: `(k,)` the largest of them.
        histograms: `(k, 256)` how they are spread over [0, 1], None where nobody asked.
    """

    pairs: Array
    near: Array
    contacts: Array
    totals: Array
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
    size = int(fragments.max(initial=0))
    return pooled_graph([contact_sums(fragments, affinities, histograms=histograms)], size)


def contact_sums(
    fragments: Array,
    affinities: Affinities,
    *,
    inside: tuple[slice, ...] | None = None,
    histograms: bool = False,
) -> ContactSums:
    """Counts the affinities between two fragments that belong to the voxels of a box.

    An affinity belongs to the voxel it is stored at, whichever way its partner lies, so that boxes that tile
    a volume count each exactly once.

    Args:
        fragments: `(z, y, x)` integers; 0 is left out.
        affinities: of the voxels of the box.
        inside: the box, None for all of the volume.
        histograms: count those, too; 1 kB a contact.

    Raises:
        ValueError: the shapes differ.
    """
    box = inside or tuple(slice(0, size) for size in fragments.shape)
    if tuple(each.stop - each.start for each in box) != affinities.shape:
        raise ValueError(f"fragments {fragments.shape} in {box} for affinities {affinities.shape}")
    attractive = affinities.attractive()
    span = int(fragments.max(initial=0)) + 1
    keys, values, near = list[Array](), list[Array](), list[Array]()
    for offset, channel in zip(attractive.offsets, attractive.values, strict=True):
        here, there = _within(*edge(offset, fragments.shape), box)
        own = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(here, box, strict=True))
        one, other = fragments[here], fragments[there]
        across = (one != other) & (one > 0) & (other > 0)
        low, high = np.minimum(one[across], other[across]), np.maximum(one[across], other[across])
        keys.append(low.astype(np.int64) * span + high.astype(np.int64))
        values.append(channel[own][across].astype(np.float32))
        near.append(np.full(len(keys[-1]), _is_nearest(offset)))
    edges, number = _numbered(np.concatenate([np.zeros(0, np.int64), *keys]), span**2)
    value = np.concatenate([np.zeros(0, np.float32), *values])
    count = len(edges)
    highest = np.zeros(count)
    np.maximum.at(highest, number, value.astype(np.float64))
    spread = None
    if histograms:
        cells = number * BINS + np.minimum((value * BINS).astype(np.int64), BINS - 1)
        spread = np.bincount(cells, minlength=count * BINS).reshape(count, BINS).astype(np.int32)
    touching = np.concatenate([np.zeros(0, bool), *near])
    return ContactSums(
        np.stack([edges // span, edges % span], axis=1),
        np.bincount(number[touching], minlength=count),
        np.bincount(number, minlength=count),
        np.bincount(number, weights=value, minlength=count),
        highest,
        spread,
    )


def pooled_graph(parts: Sequence[ContactSums], size: int) -> RegionGraph:
    """The region graph of a volume from what its parts know.

    Args:
        parts: of boxes that tile the volume.
        size: the fragments are 1..size.
    """
    whole = ContactSums(
        *(_joined(parts, name) for name in ("pairs", "near", "contacts", "totals", "highest"))
    )
    keys = whole.pairs[:, 0] * (size + 1) + whole.pairs[:, 1]
    edges, number = np.unique(keys, return_inverse=True)
    count = len(edges)
    near = np.bincount(number, weights=whole.near, minlength=count)
    contacts = np.bincount(number, weights=whole.contacts, minlength=count).astype(np.int64)
    totals = np.bincount(number, weights=whole.totals, minlength=count)
    highest = np.zeros(count)
    np.maximum.at(highest, number, whole.highest)
    kept = near > 0
    spread = None
    if parts and all(part.histograms is not None for part in parts):
        bins = np.zeros((count, BINS), np.int32)
        np.add.at(bins, number, _joined(parts, "histograms"))
        spread = bins[kept]
    pairs = np.stack([edges // (size + 1), edges % (size + 1)], axis=1)[kept]
    contacts = contacts[kept]
    return RegionGraph(size, pairs, contacts, totals[kept] / np.maximum(contacts, 1), highest[kept], spread)


def _numbered(keys: Array, limit: int) -> tuple[Array, Array]:
    """The different keys in their order, and the place of each key among them; keys are below the limit."""
    if limit > _TABLE:
        edges, number = np.unique(keys, return_inverse=True)
        return edges, number
    seen = np.zeros(limit, bool)
    seen[keys] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[keys]


def _within(
    here: tuple[slice, ...], there: tuple[slice, ...], inside: tuple[slice, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The two boxes of an offset without the voxels outside `inside`."""
    kept, partners = list[slice](), list[slice]()
    for own, other, box in zip(here, there, inside, strict=True):
        start = max(own.start, box.start)
        stop = max(start, min(own.stop, box.stop))
        kept.append(slice(start, stop))
        partners.append(slice(start + other.start - own.start, stop + other.start - own.start))
    return tuple(kept), tuple(partners)


def _joined(parts: Sequence[ContactSums], name: str) -> Array:
    empty = {"pairs": np.zeros((0, 2), np.int64), "histograms": np.zeros((0, BINS), np.int32)}
    return np.concatenate([empty.get(name, np.zeros(0)), *(getattr(part, name) for part in parts)])


def _is_nearest(offset: tuple[int, int, int]) -> bool:
    return sum(map(abs, offset)) == 1
