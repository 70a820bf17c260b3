"""A static picture of the largest segments in space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from morula.core.types import Array, ArraySource

__all__ = ["render"]

_BACKGROUND = 250
_AMBIENT = 0.35
_READ = 32  # sections at once; a chunk of our stores is as deep


def render(labels: ArraySource, *, count: int) -> Array:
    """The largest segments seen along z: what is in front hides what is behind, and slopes are darker.

    Args:
        labels: `(z, y, x)` integers, 0 = none; some sections are read at a time.
        count: how many segments are drawn.

    Returns:
        `(y, x, 3)` uint8.
    """
    from morula.report import label_colours

    sizes = np.zeros(1, np.int64)
    for _, section in _sections(labels):
        own = np.bincount(section.ravel(), minlength=len(sizes))
        own[: len(sizes)] += sizes
        sizes = own
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][: min(count, np.count_nonzero(sizes))]
    rank = np.zeros(len(sizes), np.int32)
    rank[largest] = np.arange(1, len(largest) + 1)
    front, depth = np.zeros(labels.shape[1:], np.int32), np.zeros(labels.shape[1:], np.int64)
    for number, section in _sections(labels):
        first = (front == 0) & (rank[section] > 0)
        front[first], depth[first] = rank[section[first]], number
    down, across = np.gradient(depth.astype(float))
    light = _AMBIENT + (1 - _AMBIENT) / np.sqrt(1 + (down / 2) ** 2 + (across / 2) ** 2)
    fog = 1 - 0.4 * depth / max(labels.shape[0] - 1, 1)
    shaded = label_colours(front) * (light * fog)[..., None]
    return np.where(front[..., None] > 0, shaded, _BACKGROUND).astype(np.uint8)


def _sections(labels: ArraySource) -> Iterator[tuple[int, Array]]:
    for start in range(0, labels.shape[0], _READ):
        yield from enumerate(np.asarray(labels[start : start + _READ]), start)
