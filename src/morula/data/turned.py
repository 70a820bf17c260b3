"""Volumes whose files hold their axes in another order than z, y, x."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from morula.core.types import Array, ArraySource, Volume, Voxel
from morula.data.box import bounding_box

__all__ = ["Stored", "places", "turned"]

Stored = Literal["zyx", "zxy", "yzx", "yxz", "xzy", "xyz"]
"""The orders that three axes can be stored in; the first is everyone's here."""


def places(stored: Stored) -> tuple[int, int, int]:
    """Which stored axis is z, which y and which x, as `numpy.transpose` takes it.

    >>> places("xyz")
    (2, 1, 0)
    """
    return stored.index("z"), stored.index("y"), stored.index("x")


def turned(volume: Volume, stored: Stored) -> Volume:
    """The same voxels with axes `zyx`, read no earlier and no further than it is sliced.

    Args:
        volume: read as if its axes were `zyx`; the voxel size that its file states turns with it.
        stored: what its axes are.
    """
    if stored == "zyx":
        return volume
    source = _Turned(volume.source, places(stored))
    stamp = f"{volume.stamp}|{stored}"
    return replace(volume, source=source, stamp=stamp, voxel=_voxel(volume.voxel, source.places))


@dataclass(frozen=True)
class _Turned:
    source: ArraySource
    places: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[each] for each in self.places)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.source.dtype)

    def __getitem__(self, key: Any, /) -> Array:
        boxed = bounding_box(key, self.shape)
        if boxed is None:
            return np.asarray(self.source[...]).transpose(self.places)[key]
        box, rest = boxed
        stored = tuple(box[self.places.index(axis)] for axis in range(3))
        return np.asarray(self.source[stored]).transpose(self.places)[rest]


def _voxel(stated: Voxel | None, order: tuple[int, int, int]) -> Voxel | None:
    """The size along z, y and x of what a file says of its first, second and third axis."""
    if stated is None or stated.z is None:
        return None
    edges = stated.z, stated.y, stated.x
    z, y, x = (edges[each] for each in order)
    return Voxel(z=z, y=y, x=x)
