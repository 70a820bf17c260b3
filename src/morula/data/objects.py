"""Size, place and outline of every object, in one pass over the labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from skimage.measure import find_contours

from morula.core.types import Array

__all__ = ["ObjectTable", "crops", "measure", "outline"]


@dataclass(frozen=True)
class ObjectTable:
    """One row per object, in the order of the ids.

    Attributes:
        ids: `(n,)` label of each object.
        area: `(n,)` in pixels or voxels.
        centroid: `(n, d)` in pixels, axes as in the labels.
        low: `(n, d)` first pixel of the box.
        high: `(n, d)` one past the last pixel of the box.
        touches_border: `(n,)` whether the box meets the edge of the image (in y or x).
    """

    ids: Array
    area: Array
    centroid: Array
    low: Array
    high: Array
    touches_border: Array


def measure(labels: Array) -> ObjectTable:
    """Measures all objects.

    Args:
        labels: `(y, x)` or `(z, y, x)`, 0 = background.

    >>> table = measure(np.array([[0, 1, 1], [0, 1, 1], [2, 0, 0]]))
    >>> table.area.tolist(), table.centroid[0].tolist(), table.touches_border.tolist()
    ([4, 1], [0.5, 1.5], [True, True])
    """
    boxes = ndi.find_objects(labels)
    ids = np.array([i for i, box in enumerate(boxes, start=1) if box is not None], dtype=np.int64)
    kept = [boxes[i - 1] for i in ids]
    low = np.array([[side.start for side in box] for box in kept]).reshape(len(ids), labels.ndim)
    high = np.array([[side.stop for side in box] for box in kept]).reshape(len(ids), labels.ndim)
    places = np.nonzero(labels)
    owner = labels[places]
    size = len(boxes) + 1
    area = np.bincount(owner, minlength=size)[ids]
    sums = [np.bincount(owner, weights=axis, minlength=size)[ids] for axis in places]
    centroid = np.stack(sums, axis=1) / np.maximum(area, 1)[:, None]
    plane = np.array(labels.shape[-2:])
    border = ((low[:, -2:] == 0) | (high[:, -2:] == plane)).any(axis=1)
    return ObjectTable(ids, area, centroid, low, high, border)


def crops(labels: Array, table: ObjectTable) -> Iterator[tuple[int, Array]]:
    """Each object's id and its mask, cropped to its box."""
    for number, low, high in zip(table.ids, table.low, table.high, strict=True):
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        yield int(number), labels[box] == number


def outline(mask: Array, top: int, left: int) -> list[list[float]]:
    """The longest contour of a 2D mask as closed `[x, y]` points in image pixels (pixel centres at +0.5).

    Args:
        mask: `(h, w)` bool, cropped to the object.
        top: row of its first pixel in the image.
        left: column of its first pixel in the image.
    """
    contour = max(find_contours(np.pad(mask, 1).astype(np.float32), 0.5), key=len)
    points = (contour[:, ::-1] + [left - 0.5, top - 0.5]).round(2)
    return points.tolist()
