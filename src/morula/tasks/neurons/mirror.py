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

    Where a neighbour lies outside of the volume, the view as it was counts alone: no other knows of it.

    Args:
        predict: a volume `(z, y, x)` to its affinities.
        image: `(z, y, x)`.
        mirrors: number of views, a key of `MIRRORS`.

    Returns:
        Affinities of the image, float16 unless there is one view.

    Raises:
        ValueError: an offset goes along several axes, so that no mirror image shows it.
    """
    first = predict(image)
    if mirrors == 1:
        return first
    total = first.values.astype(np.float32)
    for axes in MIRRORS[mirrors][1:]:
        mirrored = predict(np.ascontiguousarray(np.flip(image, axes)))
        values = np.flip(mirrored.values, tuple(1 + at for at in axes))
        for channel, offset in enumerate(first.offsets):
            total[channel] += _brought_back(values[channel], first.values[channel], offset, axes)
    return Affinities((total / len(MIRRORS[mirrors])).astype(np.float16), first.offsets, first.polarity)


def _brought_back(values: Array, otherwise: Array, offset: Offset, axes: Axes) -> Array:
    """Affinities to the voxel at `offset`, of which a mirror image told those to the voxel opposite."""
    turned = [part for axis, part in enumerate(offset) if axis in axes and part]
    if not turned:
        return values
    if len(turned) < np.count_nonzero(offset):
        raise ValueError(f"offset {offset} is not seen in a volume mirrored along axes {axes}")
    found = otherwise.copy()
    here, there = edge(offset, values.shape)
    found[here] = values[there]
    return found
