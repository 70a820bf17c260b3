"""Coarser levels: images by the mean of the voxels that fall together, labels by the most frequent one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import numpy as np

from morula.core.types import Array, Axes, Voxel

__all__ = ["Shrinking", "factors_of", "shrink"]

Shrinking = Literal["mean", "mode"]
_SMALLEST = 256  # pixels; a level that fits on a screen is the last


def factors_of(shape: Sequence[int], axes: Axes, voxel: Voxel | None) -> tuple[tuple[int, ...], ...]:
    """How much smaller than the first each level of a pyramid is, along each axis.

    Every level halves y and x, and z once its voxels are at most half again as thick as wide, until a section
    fits on a screen. Sections of an unknown thickness are halved with the rest.

    >>> factors_of((100, 1000, 600), Axes("zyx"), Voxel(z=40.0, y=10.0, x=10.0))
    ((1, 1, 1), (1, 2, 2), (1, 4, 4))
    """
    levels = [dict.fromkeys(axes.order, 1)]
    sizes = dict(zip(axes.order, shape, strict=True))
    thick = 1.0 if voxel is None or voxel.z is None else voxel.z / np.sqrt(voxel.area)
    while max(-(-sizes[axis] // levels[-1][axis]) for axis in "yx") > _SMALLEST:
        last = levels[-1]
        flat = thick * last.get("z", 1) > 1.5 * last["y"]
        kept = {axis for axis in last if axis == "c" or (axis == "z" and flat) or last[axis] >= sizes[axis]}
        levels.append({axis: size if axis in kept else 2 * size for axis, size in last.items()})
    return tuple(tuple(level[axis] for axis in axes.order) for level in levels)


def shrink(array: Array, factors: Sequence[int], how: Shrinking) -> Array:
    """An array made smaller by whole numbers; at the far edges the windows hold what there is.

    Args:
        array: of any shape.
        factors: along each axis.
        how: `mean` for images (rounded where they are integers), `mode` for labels: the most frequent one, of
            equally frequent ones the lowest; no label appears that was not there.

    >>> shrink(np.array([[7, 7, 9], [7, 0, 9]]), (2, 2), "mode")
    array([[7, 9]])
    """
    if all(factor == 1 for factor in factors):
        return array
    windows = _windows(array, factors)
    if how == "mean":
        mean = windows.mean(axis=-1, dtype=np.float64)
        return (np.rint(mean) if array.dtype.kind in "iu" else mean).astype(array.dtype)
    ordered = np.sort(windows, axis=-1)
    best, most = ordered[..., 0], np.zeros(ordered.shape[:-1], np.int32)
    for place in range(ordered.shape[-1]):
        label = ordered[..., place]
        votes = (ordered == label[..., None]).sum(axis=-1, dtype=np.int32)
        best, most = np.where(votes > most, label, best), np.maximum(votes, most)
    return best


def _windows(array: Array, factors: Sequence[int]) -> Array:
    """`(..., n)`: the n voxels that become one; edges are repeated to fill the last windows."""
    padding = [(0, -size % factor) for size, factor in zip(array.shape, factors, strict=True)]
    padded = np.pad(array, padding, mode="edge") if any(after for _, after in padding) else array
    split: list[int] = []
    for size, factor in zip(padded.shape, factors, strict=True):
        split += [size // factor, factor]
    ndim = array.ndim
    order = [*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)]
    turned = padded.reshape(split).transpose(order)
    return turned.reshape(*turned.shape[:ndim], prod(factors))
