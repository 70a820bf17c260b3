"""Stacks and trees seen from a side: the brightest voxel along an axis, and lines over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from morula.core.types import Array
from morula.report.draw import to_rgb8

__all__ = ["draw_segments", "projection"]


def projection(stack: Array, axis: int, *, depth: float = 1.0) -> Array:
    """The maximum along an axis, `(y, x, 3)` uint8; what is dark is lifted, for branches are dim.

    Args:
        stack: `(z, y, x)`.
        axis: along which is looked: 0 from above, 1 from the front (z down, x to the right), 2 from the side
            (z down, y to the right).
        depth: of a section in pixels; a side view is stretched by it.

    >>> projection(np.zeros((2, 4, 6), np.uint8), 1, depth=3.0).shape
    (6, 6, 3)
    """
    flat = stack.max(axis=axis).astype(np.float32)
    grey = to_rgb8(np.sqrt(np.maximum(flat - np.median(flat), 0)))
    if axis == 0 or depth == 1:
        return grey
    size = grey.shape[1], max(1, round(grey.shape[0] * depth))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))


def draw_segments(
    picture: Array,
    segments: Sequence[tuple[Array, tuple[int, int, int]]],
    axis: int,
    *,
    depth: float = 1.0,
    width: int = 1,
) -> Array:
    """The picture with lines over it, the last ones on top.

    Args:
        picture: what `projection` gave.
        segments: each `(n, 2, 3)` starts and ends, z, y, x in voxels, and a colour.
        axis: the same as the projection's.
        depth: the same as the projection's.
        width: of the lines in pixels.
    """
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    shown = [each for each in (0, 1, 2) if each != axis]
    for lines, colour in segments:
        flat = (lines * (depth, 1, 1))[..., shown] + 0.5
        for (row, column), (row_end, column_end) in flat.tolist():
            pen.line((column, row, column_end, row_end), fill=colour, width=width)
    return np.asarray(image)
