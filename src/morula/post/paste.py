"""Masks of boxes, as detectors give them, become one label image."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.post.untyped import ndi

__all__ = ["paste_masks", "places"]


def paste_masks(
    boxes: Array,
    masks: Array,
    shape: tuple[int, int],
    *,
    threshold: float = 0.5,
    overlap: float = 0.5,
    smallest: int = 4,
) -> tuple[Array, Array]:
    """Draws masks into a label image, the best first; a pixel belongs to the first that claims it.

    An object is dropped where more than `overlap` of it is taken already: suppression by masks, which keeps
    neighbours whose boxes overlap and their masks do not. One mask is drawn at a time, so that the memory
    does not grow with the number of objects.

    Args:
        boxes: `(n, 4)` x0, y0, x1, y1 in pixels from the image's corner, the most certain first.
        masks: `(n, m, m)` probabilities over the area of the box.
        shape: of the image, y, x.
        threshold: of the probability.
        overlap: share of an object that may be taken.
        smallest: fewest pixels of an object after others took theirs.

    Returns:
        `(y, x)` int32 labels, 1..N in the order of the boxes, and the rows `(N,)` that were drawn.
    """
    labels, drawn = np.zeros(shape, dtype=np.int32), list[int]()
    for row, (box, mask) in enumerate(zip(boxes, masks, strict=True)):
        x0, y0, x1, y1 = (float(edge) for edge in box)
        top, left = max(0, int(np.floor(y0))), max(0, int(np.floor(x0)))
        view = labels[top : max(0, int(np.ceil(y1))), left : max(0, int(np.ceil(x1)))]
        if not view.size or x1 <= x0 or y1 <= y0:
            continue
        y = places(top, view.shape[0], y0, y1, len(mask))
        x = places(left, view.shape[1], x0, x1, len(mask))
        grid = np.meshgrid(y, x, indexing="ij")
        inside: Array = ndi.map_coordinates(mask, grid, order=1, mode="nearest") > threshold
        free = inside & (view == 0)
        if free.sum() < max(smallest, (1 - overlap) * inside.sum()):
            continue
        drawn.append(row)
        view[free] = len(drawn)
    return labels, np.array(drawn, dtype=np.intp)


def places(first: int, count: int, low: float, high: float, cells: int) -> Array:
    """Where the centres of pixels `first`, `first + 1` ... lie in a mask of `cells` from `low` to `high`."""
    return (np.arange(first, first + count) + 0.5 - low) / (high - low) * cells - 0.5
