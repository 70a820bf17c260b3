"""Affinities of any size to neurons: fragments in each block, one region graph, one agglomeration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cc3d
import numpy as np

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, relative
from morula.blockwise.join import Numbered, Relabel, grown
from morula.blockwise.work import Work
from morula.core.affinities import Affinities, Offset, Polarity
from morula.core.types import Array, ArraySource
from morula.post import ContactSums, RegionGraph, contact_sums, pooled_graph

__all__ = ["StoredAffinities", "segment"]


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

    def read(self, box: tuple[slice, ...]) -> Affinities:
        """The affinities of the voxels in a box, as float32."""
        values = np.asarray(self.values[(slice(None), *box)])
        unit = values.astype(np.float32) / 255 if values.dtype == np.uint8 else values.astype(np.float32)
        return Affinities(unit, self.offsets, self.polarity)


def segment(
    affinities: StoredAffinities,
    sink: Sink,
    grid: BlockGrid,
    work: Work,
    *,
    fragments: Callable[[Affinities], Array],
    partition: Callable[[RegionGraph], Array],
    histograms: bool = False,
) -> int:
    """Fragments, contacts and one partition of them all; exact for the fragments that the blocks made.

    A fragment ends where its block ends. What the affinities across the face say then joins its parts, as it
    joins any two fragments.

    Args:
        affinities: of the volume.
        sink: of the labels.
        grid: of the blocks; fragments are made with its halo, and cut.
        work: where steps are kept; what decides `fragments` and `partition` belongs to its parts.
        fragments: of the affinities of a block, labels 1..N; picklable where processes do it.
        partition: label of each fragment from the region graph, `MergeTree.cut` of an agglomeration or a
            multicut.
        histograms: count how the affinities of each contact are spread.

    Returns:
        How many neurons there are.
    """
    local = work.array("fragments", grid, np.int32)
    told = work.run("fragments-label", _Fragments(affinities, fragments, local, grid), grid)
    numbered = Numbered.of(local, grid, told)
    sums = work.run("contacts", _Contacts(affinities, numbered, histograms), grid, histograms=histograms)
    graph = pooled_graph([_sums(each) for each in sums], numbered.size)
    labels = partition(graph)
    lookup = work.table("neurons", labels.astype(np.uint32))
    work.run("write", Relabel(numbered, lookup, sink), grid)
    return int(labels.max(initial=0))


@dataclass(frozen=True)
class _Fragments:
    affinities: StoredAffinities
    fragments: Callable[[Affinities], Array]
    sink: Sink
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        made = self.fragments(self.affinities.read(self.grid.read(index)))[self.grid.inner(index)]
        labels = cc3d.connected_components(np.ascontiguousarray(made), connectivity=6).astype(np.int32)
        self.sink[self.grid.write(index)] = labels
        return {"count": labels.max(initial=0)}


@dataclass(frozen=True)
class _Contacts:
    affinities: StoredAffinities
    fragments: Numbered
    histograms: bool

    def __call__(self, index: int) -> Mapping[str, Array]:
        grid = self.fragments.grid
        box = grid.write(index)
        reach = np.abs(np.array(self.affinities.offsets)).max(axis=0).tolist()
        wide = grown(box, grid.shape, reach)
        numbers, inner = self.fragments.read(wide), relative(box, wide)
        ids, dense = np.unique(np.append(numbers.ravel(), 0), return_inverse=True)
        sums = contact_sums(
            dense[:-1].reshape(numbers.shape),
            self.affinities.read(wide),
            inside=inner,
            histograms=self.histograms,
        )
        found = {
            "pairs": ids[sums.pairs],
            "near": sums.near,
            "contacts": sums.contacts,
            "totals": sums.totals,
            "highest": sums.highest,
        }
        return found if sums.histograms is None else {**found, "histograms": sums.histograms}


def _sums(told: Mapping[str, Array]) -> ContactSums:
    return ContactSums(**dict(told))
