"""Size, place and box of every object of a label array, all measured in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morula.core.types import Array

__all__ = ["ObjectTable", "measure"]


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
    places = np.stack(np.nonzero(labels), axis=1)
    ids, index = np.unique(labels[labels != 0], return_inverse=True)
    area = np.bincount(index, minlength=len(ids))
    sums = [np.bincount(index, weights=axis, minlength=len(ids)) for axis in places.T]
    centroid = np.stack(sums, axis=1) / np.maximum(area, 1)[:, None]
    start = np.full((len(ids), labels.ndim), np.iinfo(np.int64).max)
    stop = np.zeros((len(ids), labels.ndim), np.int64)
    np.minimum.at(start, index, places)
    np.maximum.at(stop, index, places + 1)
    touches = ((start == 0) | (stop == np.array(labels.shape))).any(axis=1)
    return ObjectTable(ids, area, centroid, start, stop, touches)
