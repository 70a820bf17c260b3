"""A static picture of the largest segments in space."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array

__all__ = ["render"]

_BACKGROUND = 250
_AMBIENT = 0.35


def render(labels: Array, *, count: int) -> Array:
    """The largest segments seen along z: what is in front hides what is behind, and slopes are darker.

    Args:
        labels: `(z, y, x)` integers, 0 = none.
        count: how many segments are drawn.

    Returns:
        `(y, x, 3)` uint8.
    """
    from morula.report import label_colours

    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][: min(count, np.count_nonzero(sizes))]
    rank = np.zeros(len(sizes), np.int32)
    rank[largest] = np.arange(1, len(largest) + 1)
    drawn = rank[labels]
    depth = np.argmax(drawn > 0, axis=0)
    front = np.take_along_axis(drawn, depth[None], axis=0)[0]
    down, across = np.gradient(depth.astype(float))
    light = _AMBIENT + (1 - _AMBIENT) / np.sqrt(1 + (down / 2) ** 2 + (across / 2) ** 2)
    fog = 1 - 0.4 * depth / max(len(labels) - 1, 1)
    shaded = label_colours(front) * (light * fog)[..., None]
    return np.where(front[..., None] > 0, shaded, _BACKGROUND).astype(np.uint8)
