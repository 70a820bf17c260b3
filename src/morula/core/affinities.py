"""Affinities: maps that say which neighbours belong together, with what one must know to read them.

The same numbers mean the opposite to two programs: one stores 1 for "the same object", the other for "a
border". So offsets and polarity travel with the array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from morula.core.types import Array

__all__ = [
    "LONG_RANGE",
    "LONG_RANGE_CUBES",
    "MUTEX",
    "MUTEX_CUBES",
    "NEAREST",
    "Affinities",
    "Offset",
    "Polarity",
    "edge",
]

Offset = tuple[int, int, int]
"""Where the partner of a voxel lies, z, y, x."""

Polarity = Literal["attractive", "repulsive"]
"""What 1 means: the same object, or two different ones."""

NEAREST: tuple[Offset, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
"""The three faces."""

LONG_RANGE: tuple[Offset, ...] = (
    *NEAREST,
    (-2, 0, 0), (0, -3, 0), (0, 0, -3),
    (-3, 0, 0), (0, -9, 0), (0, 0, -9),
    (-4, 0, 0), (0, -27, 0), (0, 0, -27),
)  # fmt: skip
"""Twelve, for sections thicker than pixels (Lee et al., 2017, arXiv 1706.00120)."""

MUTEX: tuple[Offset, ...] = (
    *NEAREST,
    (-1, -1, -1), (-1, 1, 1), (-1, -1, 1), (-1, 1, -1),
    (0, -9, 0), (0, 0, -9), (0, -9, -9), (0, -9, 9),
    (0, -9, -4), (0, -4, -9), (0, -4, 9), (0, -9, 4),
    (0, -27, 0), (0, 0, -27),
)  # fmt: skip
"""Seventeen, of the mutex watershed on ssTEM (Wolf et al., ECCV 2018), each pointing backwards."""


LONG_RANGE_CUBES: tuple[Offset, ...] = (
    *NEAREST,
    (-3, 0, 0), (0, -3, 0), (0, 0, -3),
    (-9, 0, 0), (0, -9, 0), (0, 0, -9),
)  # fmt: skip
"""Nine, for voxels as deep as wide."""

MUTEX_CUBES: tuple[Offset, ...] = (
    *LONG_RANGE_CUBES,
    (0, -9, -9), (0, -9, 9), (-9, 0, -9), (-9, 0, 9), (-9, -9, 0), (-9, 9, 0),
)  # fmt: skip
"""Fifteen, with the longest ones across, too."""


@dataclass(frozen=True, eq=False)
class Affinities:
    """A value in [0, 1] for each pair of voxels that lie one of the offsets apart.

    Attributes:
        values: `(c, z, y, x)`; `values[i, v]` is about the voxels v and v + `offsets[i]`.
        offsets: of each channel; the first number that is not 0 is negative.
        polarity: what 1 means.
    """

    values: Array
    offsets: tuple[Offset, ...]
    polarity: Polarity = "attractive"

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or len(self.values) != len(self.offsets):
            raise ValueError(f"{len(self.offsets)} offsets for an array of shape {self.values.shape}")
        bad = [each for each in self.offsets if next((n for n in each if n), 1) > 0]
        if bad:
            raise ValueError(f"offsets point backwards; {bad[0]} does not")
        if len(set(self.offsets)) < len(self.offsets):
            raise ValueError("an offset is there twice")

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the volume, z, y, x."""
        return self.values.shape[1:]

    def attractive(self) -> Affinities:
        """The same with 1 for the same object."""
        if self.polarity == "attractive":
            return self
        return replace(self, values=1 - self.values, polarity="attractive")

    def of(self, offset: Offset) -> Array:
        """The channel of an offset, `(z, y, x)`.

        Raises:
            KeyError: there is none.
        """
        if offset not in self.offsets:
            raise KeyError(f"no channel has the offset {offset}")
        return self.values[self.offsets.index(offset)]

    def nearest(self) -> Affinities:
        """The three faces alone, in the order z, y, x.

        Raises:
            KeyError: one of them is missing.
        """
        return replace(self, values=np.stack([self.of(each) for each in NEAREST]), offsets=NEAREST)


def edge(offset: Sequence[int], shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the voxels lie that have a partner, and where their partners lie.

    Args:
        offset: of the partner.
        shape: of the volume, z, y, x.

    Returns:
        Two boxes of equal size; both empty where the offset is longer than the volume.

    >>> edge((-1, 0), (4, 5))
    ((slice(1, 4, None), slice(0, 5, None)), (slice(0, 3, None), slice(0, 5, None)))
    """
    here, there = list[slice](), list[slice]()
    for step, size in zip(offset, shape, strict=True):
        start, stop = min(max(0, -step), size), max(size - max(0, step), 0)
        stop = max(start, stop)
        here.append(slice(start, stop))
        there.append(slice(start + step, stop + step) if stop > start else slice(0, 0))
    return tuple(here), tuple(there)
