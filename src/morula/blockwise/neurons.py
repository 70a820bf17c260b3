"""Affinities of any size to neurons: fragments on one lattice, one region graph, one agglomeration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cc3d
import numpy as np

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, Box, extent, relative
from morula.blockwise.join import Numbered, Relabel, grown
from morula.blockwise.work import Work
from morula.core.affinities import NEAREST, Affinities, Offset, Polarity
from morula.core.types import Array, ArraySource
from morula.post import ContactSums, RegionGraph, contact_sums, pooled_graph

__all__ = ["Split", "StoredAffinities", "fragments_of", "graph_of", "parts_of", "segment"]

_PART = (16, 256, 256)  # voxels at once; the contacts of each take up to half a kB

Split = Callable[[Affinities], Array]
"""Fragments 1..N of the nearest affinities; picklable where processes do it."""


@dataclass(frozen=True)
class StoredAffinities:
    """Affinities that are read by boxes.

    Attributes:
        values: `(c, z, y, x)`, in [0, 1] or uint8 for 0 to 1 in steps of 1/255.
        offsets: of each channel.
        polarity: what 1 means.
    """

    values: ArraySource
    offsets: tuple[Offset, ...]
    polarity: Polarity = "attractive"

    def read(self, box: Box, offsets: Sequence[Offset] | None = None) -> Affinities:
        """The affinities of the voxels in a box, as float32; of some offsets, or of all."""
        chosen = self.offsets if offsets is None else tuple(offsets)
        found = np.empty((len(chosen), *extent(box)), np.float32)
        for offset, channel in zip(chosen, found, strict=True):
            at = self.offsets.index(offset)
            channel[...] = self.values[(slice(at, at + 1), *box)][0]
        if self.values.dtype == np.uint8:
            found /= 255
        return Affinities(found, chosen, self.polarity)

    @classmethod
    def of(cls, affinities: Affinities) -> StoredAffinities:
        """Those that are in memory, whose bytes are 0 and 1, as those of targets."""
        values = affinities.values
        unit = values.astype(np.float16) if values.dtype == np.uint8 else values
        return cls(unit, affinities.offsets, affinities.polarity)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the volume, z, y, x."""
        return tuple(self.values.shape)[1:]


def fragments_of(affinities: StoredAffinities, split: Split, lattice: BlockGrid) -> Array:
    """The fragments of a volume in memory, equal to those that `segment` makes of it by blocks.

    A watershed looks as far as it floods, so no halo makes its parts agree. Cut on one lattice of the volume,
    as the network's tiles are, it is the same function of the affinities whoever works on it.

    Args:
        affinities: of the volume.
        split: of the affinities of a block with its halo.
        lattice: of the volume, whatever the blocks of other steps are.

    Returns:
        `(z, y, x)` int32, fragments 1..N in the order of the lattice.

    Raises:
        ValueError: a nearest offset is missing.
    """
    found = np.zeros(affinities.shape, np.int32)
    last = 0
    for index, box in enumerate(lattice):
        labels = _cut(affinities.read(lattice.read(index), NEAREST), split, lattice.inner(index))
        found[box] = np.where(labels > 0, labels + last, 0)
        last += int(labels.max(initial=0))
    return found


def parts_of(shape: tuple[int, ...]) -> BlockGrid:
    """The parts of a volume `(z, y, x)` in memory that are worked on one after the other, side by side."""
    return BlockGrid(shape, tuple(map(min, _PART, shape)), (0, 0, 0))


def graph_of(fragments: Array, affinities: StoredAffinities, *, histograms: bool = False) -> RegionGraph:
    """The region graph of fragments in memory, as `morula.post.region_graph` counts it, part by part.

    At once the contacts of long offsets would take more memory than all the maps.

    Args:
        fragments: `(z, y, x)` integers; 0 is left out.
        affinities: of the same volume.
        histograms: count how the affinities of each contact are spread.
    """

    def dense(box: Box) -> tuple[Array, Array]:
        found = fragments[box]
        there = np.zeros(int(found.max(initial=0)) + 1, bool)
        there[0] = True
        there[found] = True
        return (np.cumsum(there, dtype=np.int32) - 1)[found], np.flatnonzero(there)

    parts = parts_of(fragments.shape)
    sums = [_contacts(affinities, dense, box, parts.shape, histograms) for box in parts]
    return pooled_graph(sums, int(fragments.max(initial=0)))


def segment(
    affinities: StoredAffinities,
    sink: Sink,
    grid: BlockGrid,
    work: Work,
    *,
    fragments: Split,
    lattice: BlockGrid,
    partition: Callable[[RegionGraph], Array],
    histograms: bool = False,
) -> int:
    """Fragments, contacts and one partition of them all; equal to what memory makes of `fragments_of`.

    A fragment ends where its part of the lattice ends. What the affinities across the face then say joins the
    two, as it joins any fragments.

    Args:
        affinities: of the volume.
        sink: of the labels.
        grid: of the blocks that contacts are counted in; any gives the same.
        work: where steps are kept; what decides `fragments` and `partition` belongs to its parts.
        fragments: of the affinities of a part of the lattice.
        lattice: fragments are made with its halo, and cut where its parts end.
        partition: label of each fragment from the region graph, `MergeTree.cut` of an agglomeration or a
            multicut.
        histograms: count how the affinities of each contact are spread.

    Returns:
        How many neurons there are.
    """
    local = work.array("fragments", lattice, np.int32)
    told = work.run("fragments-label", _Fragments(affinities, fragments, local, lattice), lattice)
    numbered = Numbered.of(local, lattice, told)
    count = _Contacts(affinities, numbered, grid, histograms)
    told = work.run("contacts", count, grid, lattice=lattice, histograms=histograms)
    graph = pooled_graph([ContactSums(**each) for each in told], numbered.size)
    del told
    labels = partition(graph)
    lookup = work.table("neurons", labels.astype(np.uint32))
    work.run("write", Relabel(numbered, lookup, sink), lattice)
    return int(labels.max(initial=0))


@dataclass(frozen=True)
class _Fragments:
    affinities: StoredAffinities
    split: Split
    sink: Sink
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        labels = _cut(
            self.affinities.read(self.grid.read(index), NEAREST), self.split, self.grid.inner(index)
        )
        self.sink[self.grid.write(index)] = labels
        return {"count": labels.max(initial=0)}


@dataclass(frozen=True)
class _Contacts:
    affinities: StoredAffinities
    fragments: Numbered
    grid: BlockGrid
    histograms: bool

    def __call__(self, index: int) -> Mapping[str, Array]:
        box, dense = self.grid.write(index), self.fragments.dense
        sums = _contacts(self.affinities, dense, box, self.grid.shape, self.histograms)
        found = {
            "pairs": sums.pairs,
            "near": sums.near,
            "contacts": sums.contacts,
            "totals": sums.totals,
            "highest": sums.highest,
        }
        return found if sums.histograms is None else {**found, "histograms": sums.histograms}


def _contacts(
    affinities: StoredAffinities,
    dense: Callable[[Box], tuple[Array, Array]],
    box: Box,
    shape: tuple[int, ...],
    histograms: bool,
) -> ContactSums:
    """The contacts of a box; `dense` gives the fragments of one as 0..n, and the number of each."""
    wide = grown(box, shape, np.abs(np.array(affinities.offsets)).max(axis=0).tolist())
    fragments, numbers = dense(wide)
    inner = relative(box, wide)
    sums = contact_sums(fragments, affinities.read(box), inside=inner, histograms=histograms)
    return replace(sums, pairs=numbers[sums.pairs])


def _cut(affinities: Affinities, split: Split, inner: Box) -> Array:
    """The fragments of a box with its halo, without the halo; what the cut parts is two."""
    made = np.ascontiguousarray(split(affinities)[inner])
    return cc3d.connected_components(made, connectivity=6).astype(np.int32)
