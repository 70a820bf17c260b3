"""Objects that were numbered in every block alone, joined across faces, edges and corners of the blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, Box, overlap_of, relative
from morula.core.affinities import edge
from morula.core.types import Array, ArraySource

__all__ = ["Numbered", "Pairs", "Relabel", "grown", "joined", "neighbours"]

Step = tuple[int, ...]


@dataclass(frozen=True)
class Numbered:
    """Labels that are 1, 2, ... in every block, read as numbers that are unique in the volume.

    Attributes:
        local: `(z, y, x)` labels of each block alone.
        grid: of the blocks.
        before: `(blocks + 1,)` how many objects the blocks before have.
    """

    local: ArraySource
    grid: BlockGrid
    before: tuple[int, ...]

    @classmethod
    def of(cls, local: ArraySource, grid: BlockGrid, told: Sequence[Mapping[str, Array]]) -> Numbered:
        """The same from what the blocks told: the `count` of each."""
        counts = [int(each["count"]) for each in told]
        return cls(local, grid, tuple(np.concatenate([[0], np.cumsum(counts)]).tolist()))

    @property
    def size(self) -> int:
        """The objects are 1..size."""
        return self.before[-1]

    def read(self, box: Box) -> Array:
        """The numbers `(z, y, x)` in a box, int64."""
        found = np.asarray(self.local[box]).astype(np.int64)
        for index in self.grid.touching(box):
            part = found[relative(overlap_of(self.grid.write(index), box), box)]
            part[part > 0] += self.before[index]
        return found

    def dense(self, box: Box) -> tuple[Array, Array]:
        """The numbers `(z, y, x)` in a box as 0..n, int32, and `(n + 1,)` the number of each, int64."""
        found = np.asarray(self.local[box]).astype(np.int32)
        numbers = [np.zeros(1, np.int64)]
        last = 0
        for index in self.grid.touching(box):
            part = found[relative(overlap_of(self.grid.write(index), box), box)]
            part[part > 0] += last
            numbers.append(np.arange(self.before[index], self.before[index + 1]) + 1)
            last += len(numbers[-1])
        there = np.zeros(last + 1, bool)
        there[0] = True
        there[found] = True
        return (np.cumsum(there, dtype=np.int32) - 1)[found], np.concatenate(numbers)[there]


@dataclass(frozen=True)
class Pairs:
    """A task: the objects of other blocks that the objects of a block touch.

    Attributes:
        objects: of all blocks.
        steps: from a voxel to those that count as its neighbours, half of them: those that lie before.
    """

    objects: Numbered
    steps: tuple[Step, ...]

    def __call__(self, index: int) -> Mapping[str, Array]:
        """The `pairs` `(k, 2)`, sorted."""
        found = [np.zeros((0, 2), np.int64)]
        for axis, side in sorted(
            {(axis, step[axis]) for step in self.steps for axis in np.flatnonzero(step)}
        ):
            found += self._across(self.objects.grid.write(index), int(axis), side)
        return {"pairs": np.unique(np.sort(np.concatenate(found), axis=1), axis=0)}

    def _across(self, box: Box, axis: int, side: int) -> list[Array]:
        """What touches through one face; the two layers that lie at it are read, and a rim around them."""
        shape = self.objects.grid.shape
        face = box[axis].start if side < 0 else box[axis].stop
        if not 0 < face < shape[axis]:
            return []
        layers = grown(box, shape, (1,) * len(box))
        layers = (*layers[:axis], slice(face - 1, face + 1), *layers[axis + 1 :])
        labels, inner = self.objects.read(layers), relative(overlap_of(box, layers), layers)
        found = list[Array]()
        for step in self.steps:
            if step[axis] == side:
                here, there = _face(edge(step, labels.shape), inner)
                one, other = labels[here], labels[there]
                across = (one != other) & (one > 0) & (other > 0)
                found.append(np.stack([one[across], other[across]], axis=1))
        return found


@dataclass(frozen=True)
class Relabel:
    """A task: writes the final label of every object of a block.

    Attributes:
        objects: of all blocks.
        lookup: `.npy` file with the label of each number.
        sink: of the labels.
    """

    objects: Numbered
    lookup: str
    sink: Sink

    def __call__(self, index: int) -> Mapping[str, Array]:
        """Tells nothing."""
        box = self.objects.grid.write(index)
        labels: Any = np.load(self.lookup, mmap_mode="r", allow_pickle=False)
        self.sink[box] = labels[self.objects.read(box)]
        return {}


def joined(size: int, pairs: Array) -> Array:
    """The label of each object when all pairs are one.

    Args:
        size: the objects are 1..size.
        pairs: `(k, 2)`.

    Returns:
        `(size + 1,)` int64 labels 1..N by the lowest object in each, 0 for 0.

    >>> joined(4, np.array([[4, 2]]))
    array([0, 1, 2, 3, 2])
    """
    ends = (pairs[:, 0], pairs[:, 1])
    graph = sparse.coo_array((np.ones(len(pairs), bool), ends), shape=(size + 1, size + 1))
    found = csgraph.connected_components(graph, directed=False)[1]
    _, firsts, index = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(firsts), np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    return rank[index]


def neighbours(connectivity: int) -> tuple[Step, ...]:
    """Half of the steps to the 6, 18 or 26 neighbours of a voxel: those that lie before it.

    >>> neighbours(6)
    ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
    """
    reach = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = [step for step in product((-1, 0, 1), repeat=3) if 0 < np.abs(step).sum() <= reach]
    return tuple(step for step in steps if step < (0, 0, 0))


def grown(box: Box, shape: Sequence[int], more: Sequence[int]) -> Box:
    """A box with as many voxels more on both sides of each axis, where the volume has them."""
    return tuple(
        slice(max(each.start - far, 0), min(each.stop + far, size))
        for each, far, size in zip(box, more, shape, strict=True)
    )


def _face(ends: tuple[Box, Box], layer: Box) -> tuple[Box, Box]:
    """The voxels of a layer whose partners are in view, and these partners."""
    here, there = ends
    kept = overlap_of(here, layer)
    moved = tuple(
        slice(each.start + other.start - own.start, each.stop + other.start - own.start)
        for each, own, other in zip(kept, here, there, strict=True)
    )
    return kept, moved
