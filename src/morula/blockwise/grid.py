"""Boxes that cover a volume: each is written once, and read with as much around it as a network sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from morula.core.errors import UsageError, times

__all__ = ["BlockGrid", "Box", "extent", "overlap_of", "relative"]

Box = tuple[slice, ...]
"""A slice with step 1 for each axis."""


@dataclass(frozen=True)
class BlockGrid:
    """A volume cut into equal blocks, the last of each axis smaller.

    >>> grid = BlockGrid((10, 8), block=(4, 8), halo=(1, 2))
    >>> len(grid), grid.write(1), grid.read(1), grid.inner(1)[0]
    (3, (slice(4, 8, None), slice(0, 8, None)), (slice(3, 9, None), slice(0, 8, None)), slice(1, 5, None))

    Attributes:
        shape: of the volume.
        block: voxels of a block along each axis.
        halo: voxels that are read beyond a block, on both sides of each axis, where the volume has them.
    """

    shape: tuple[int, ...]
    block: tuple[int, ...]
    halo: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.block) == len(self.halo):
            raise ValueError(f"blocks {self.block} with a halo {self.halo} for a volume {self.shape}")
        if min(self.shape) < 1 or min(self.block) < 1 or min(self.halo) < 0:
            raise ValueError(f"blocks {self.block} with a halo {self.halo} for a volume {self.shape}")

    @classmethod
    def aligned(
        cls, shape: Sequence[int], unit: Sequence[int], halo: Sequence[int], *, voxels: int = 2**25
    ) -> BlockGrid:
        """Blocks of whole units of the sink, as many voxels with their halo as the memory may take.

        The axis that is shortest for its halo grows first, so that little is read twice.

        Args:
            shape: of the volume.
            unit: what the sink writes at once (`StoredArray.unit`), so that no two blocks share one.
            halo: on both sides.
            voxels: of the largest block that may be read; one unit is taken even where it is larger.
        """
        block = [min(part, size) for part, size in zip(unit, shape, strict=True)]
        while True:
            growing = [
                axis
                for axis, size in enumerate(shape)
                if block[axis] < size and _read(block, shape, halo, grown=axis, unit=unit) <= voxels
            ]
            if not growing:
                return cls(tuple(shape), _whole(block, unit, shape), tuple(halo))
            axis = min(growing, key=lambda each: block[each] / (halo[each] + 1))
            block[axis] = min(block[axis] + unit[axis], shape[axis])

    def __len__(self) -> int:
        return prod(self.counts)

    def __iter__(self) -> Iterator[Box]:
        return (self.write(index) for index in range(len(self)))

    @property
    def counts(self) -> tuple[int, ...]:
        """How many blocks there are along each axis."""
        return tuple(-(-size // length) for size, length in zip(self.shape, self.block, strict=True))

    def write(self, index: int) -> Box:
        """The box that a block alone writes, in the volume."""
        places = np.unravel_index(index, self.counts)
        return tuple(
            slice(int(place) * length, min((int(place) + 1) * length, size))
            for place, length, size in zip(places, self.block, self.shape, strict=True)
        )

    def read(self, index: int) -> Box:
        """The box that a block reads: what it writes and the halo, in the volume."""
        return tuple(
            slice(max(each.start - more, 0), min(each.stop + more, size))
            for each, more, size in zip(self.write(index), self.halo, self.shape, strict=True)
        )

    def inner(self, index: int) -> Box:
        """Where in what a block reads lies what it writes."""
        return relative(self.write(index), self.read(index))

    def touching(self, box: Box) -> Iterator[int]:
        """The blocks that write into a box."""
        spans = [
            range(each.start // length, -(-each.stop // length))
            for each, length in zip(box, self.block, strict=True)
        ]
        for places in np.ndindex(*(len(span) for span in spans)):
            at = [span[place] for span, place in zip(spans, places, strict=True)]
            yield int(np.ravel_multi_index(at, self.counts))

    def check_alignment(self, unit: Sequence[int]) -> None:
        """Refuses blocks of which two would write into one chunk or shard of the sink.

        Raises:
            UsageError: they would.
        """
        shared = [
            axis
            for axis, (length, part, size) in enumerate(zip(self.block, unit, self.shape, strict=True))
            if length < size and length % part
        ]
        if shared:
            found = f"blocks of {times(self.block)} share chunks of {times(unit)}"
            raise UsageError("blocks", found, "make each side a multiple of the chunk's")


def extent(box: Box) -> tuple[int, ...]:
    """The size of a box."""
    return tuple(each.stop - each.start for each in box)


def relative(box: Box, outer: Box) -> Box:
    """A box seen from the first voxel of another that contains it."""
    return tuple(
        slice(each.start - base.start, each.stop - base.start) for each, base in zip(box, outer, strict=True)
    )


def overlap_of(one: Box, other: Box) -> Box:
    """What two boxes share; empty along an axis where they share nothing."""
    pairs = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    return tuple(slice(start, max(start, stop)) for start, stop in pairs)


def _read(
    block: Sequence[int], shape: Sequence[int], halo: Sequence[int], *, grown: int, unit: Sequence[int]
) -> int:
    sizes = [length + (unit[axis] if axis == grown else 0) for axis, length in enumerate(block)]
    return prod(min(length + 2 * more, size) for length, more, size in zip(sizes, halo, shape, strict=True))


def _whole(block: Sequence[int], unit: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        size if length >= size else length // part * part
        for length, part, size in zip(block, unit, shape, strict=True)
    )
