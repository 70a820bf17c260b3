"""Affinities averaged over mirror images of a volume, each brought back to the offsets it was asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from morula.core.affinities import Affinities, Offset, edge
from morula.core.types import Array

__all__ = ["MIRRORS", "averaged"]

Axes = tuple[int, ...]

MIRRORS: dict[int, tuple[Axes, ...]] = {
    1: ((),),
    4: ((), (0, 1), (0, 2), (1, 2)),
    8: ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)),
}
"""The axes that are mirrored, for one, four and eight views of a volume."""


def averaged(predict: Callable[[Array], Affinities], image: Array, mirrors: int) -> Affinities:
    """The mean over the views; in a mirror image a voxel's neighbour before is the one behind.

    A mirror image shows an offset that goes across at that of another channel, or not at all; then this view
    does not count for it. Where a neighbour lies outside of the volume, the view as it was counts alone: no
    other knows of it.

    Args:
        predict: a volume `(z, y, x)` to its affinities.
        image: `(z, y, x)`.
        mirrors: number of views, a key of `MIRRORS`.

    Returns:
        Affinities of the image, float16 unless there is one view.
    """
    first = predict(image)
    if mirrors == 1:
        return first
    total = first.values.astype(np.float32)
    views = np.ones((len(total), 1, 1, 1), np.float32)
    for axes in MIRRORS[mirrors][1:]:
        mirrored = predict(np.ascontiguousarray(np.flip(image, axes)))
        values = np.flip(mirrored.values, tuple(1 + at for at in axes))
        for channel, offset in enumerate(first.offsets):
            seen = _mirrored(offset, axes)
            if seen in first.offsets:
                total[channel] += values[first.offsets.index(seen)]
            elif (behind := _mirrored(seen, (0, 1, 2))) in first.offsets:
                told = values[first.offsets.index(behind)]
                total[channel] += _from_behind(told, first.values[channel], offset)
            else:
                continue
            views[channel] += 1
    return Affinities((total / views).astype(np.float16), first.offsets, first.polarity)


def _mirrored(offset: Offset, axes: Axes) -> Offset:
    z, y, x = (-part if axis in axes else part for axis, part in enumerate(offset))
    return z, y, x


def _from_behind(values: Array, otherwise: Array, offset: Offset) -> Array:
    """Affinities to the voxel at `offset`, of values that tell those to the voxel opposite."""
    found = otherwise.copy()
    here, there = edge(offset, values.shape)
    found[here] = values[there]
    return found
