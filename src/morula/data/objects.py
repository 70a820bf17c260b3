"""Size, place and box of every object of a label array, measured slab by slab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from morula.core.types import Array

__all__ = ["ObjectTable", "added", "extents", "measure", "table_of", "told_of"]

_SLAB = 2**22  # pixels that are measured at once; each takes 60 bytes


@dataclass(frozen=True)
class ObjectTable:
    """Geometry of n objects in pixels; `d` axes in the order (z) y x.

    Attributes:
        id: `(n,)` labels, ascending.
        area: `(n,)` pixels or voxels.
        centroid: `(n, d)` mean pixel index.
        start: `(n, d)` first index of the box.
        stop: `(n, d)` one past the last index of the box.
        touches_border: `(n,)` whether the box reaches the edge of the array, so that the object may be cut.
    """

    id: Array
    area: Array
    centroid: Array
    start: Array
    stop: Array
    touches_border: Array

    def __len__(self) -> int:
        return len(self.id)


def measure(labels: Array) -> ObjectTable:
    """Measures every object of `labels`, `(y, x)` or `(z, y, x)`, 0 = background.

    >>> table = measure(np.array([[0, 7, 7], [0, 0, 7]]))
    >>> table.id.tolist(), table.area.tolist(), table.start.tolist(), table.stop.tolist()
    ([7], [3], [[0, 1]], [[2, 3]])
    """
    step = max(1, _SLAB // max(1, int(np.prod(labels.shape[1:]))))
    parts = [_slab(labels, first, first + step) for first in range(0, max(1, len(labels)), step)]
    ids = np.unique(np.concatenate([each["ids"] for each in parts]))
    return table_of(parts, ids, labels.shape)


def table_of(parts: Sequence[Mapping[str, Array]], ids: Array, shape: tuple[int, ...]) -> ObjectTable:
    """The objects of an array of this shape from what its parts tell of them; arguments as for `added`."""
    area, centroid, start, stop = added(parts, ids)
    touches = ((start == 0) | (stop == np.array(shape))).any(axis=1)
    return ObjectTable(ids, area, centroid, start, stop, touches)


def told_of(labels: Array, corner: Sequence[int], sure: Array | None = None) -> dict[str, Array]:
    """What a part of a label array tells of the objects in it, as `added` takes it.

    Args:
        labels: of the part, 0 = background.
        corner: where in the whole its first element lies.
        sure: a number for each element; `sure` of what is told is their sum over each object.
    """
    there = labels != 0
    places = [along + start for along, start in zip(np.nonzero(there), corner, strict=True)]
    ids, owner, area = np.unique(labels[there], return_inverse=True, return_counts=True)
    found = {"ids": ids, "area": area, **extents(owner, places, len(ids))}
    if sure is not None:
        found["sure"] = np.bincount(owner, weights=sure[there], minlength=len(ids))
    return found


def extents(owner: Array, places: Sequence[Array], count: int) -> dict[str, Array]:
    """Sums of the places of the objects 0..count-1 of a part of an array, and their boxes.

    Args:
        owner: `(p,)` the object of each pixel.
        places: its index along each of `d` axes, `(p,)` each.
        count: of the objects.

    Returns:
        `places`, `start` and `stop`, `(count, d)`.
    """
    start = np.full((count, len(places)), np.iinfo(np.int64).max)
    stop = np.zeros((count, len(places)), np.int64)
    for axis, along in enumerate(places):
        np.minimum.at(start[:, axis], owner, along)
        np.maximum.at(stop[:, axis], owner, along + 1)
    sums = [np.bincount(owner, weights=along, minlength=count) for along in places]
    return {"places": np.stack(sums, axis=1), "start": start, "stop": stop}


def added(parts: Sequence[Mapping[str, Array]], ids: Array) -> tuple[Array, Array, Array, Array]:
    """Area, centroid, start and stop, as in `ObjectTable`, of the objects of all parts of an array.

    Args:
        parts: of each, the `ids` of the objects in it, their `area` in it, and their `extents`.
        ids: `(n,)` of all, ascending.
    """
    axes = parts[0]["start"].shape[1]
    area, places = np.zeros(len(ids), np.int64), np.zeros((len(ids), axes))
    start, stop = np.full((len(ids), axes), np.iinfo(np.int64).max), np.zeros((len(ids), axes), np.int64)
    for each in parts:
        rows = np.searchsorted(ids, each["ids"])
        area[rows] += each["area"]
        places[rows] += each["places"]
        start[rows] = np.minimum(start[rows], each["start"])
        stop[rows] = np.maximum(stop[rows], each["stop"])
    return area, places / np.maximum(area, 1)[:, None], start, stop


def _slab(labels: Array, first: int, last: int) -> dict[str, Array]:
    """What `labels[first:last]` tells of the objects in it."""
    return told_of(labels[first:last], (first, *(0 for _ in labels.shape[1:])))
