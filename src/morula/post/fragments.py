"""Affinities to fragments: small regions that no border crosses, which agglomeration then joins."""

from __future__ import annotations

import numpy as np

from morula.core.affinities import NEAREST, Affinities
from morula.core.types import Array
from morula.post.untyped import grids, ndi, segmentation

__all__ = ["boundary", "fragments", "weakest"]


def boundary(affinities: Affinities, *, per_section: bool) -> Array:
    """How likely each voxel lies on a border: one minus the mean of its nearest affinities.

    A voxel speaks through its backward and its forward neighbours alike, so that borders do not shift.

    Args:
        affinities: with the three nearest offsets.
        per_section: leave z out, whose affinities are poor where sections are thick.

    Returns:
        `(z, y, x)` float32 in [0, 1].

    Raises:
        KeyError: a nearest offset is missing.
    """
    attractive = affinities.attractive()
    total = np.zeros(affinities.shape, np.float32)
    count = np.zeros(affinities.shape, np.float32)
    for axis, offset in list(enumerate(NEAREST))[int(per_section) :]:
        backward = attractive.of(offset).astype(np.float32)
        first, others = _along(axis, slice(0, -1)), _along(axis, slice(1, None))
        for here in (first, others):
            total[here] += backward[others]
            count[here] += 1
    return 1 - total / np.maximum(count, 1)


def fragments(
    affinities: Affinities, *, per_section: bool, threshold: float = 0.5, smoothing: float = 2.0
) -> Array:
    """A watershed from seeds at the points farthest from any border; every voxel gets a fragment.

    Voxels away from borders are flooded by height, where seeds grow alike over what is flat, so that a gap
    in a membrane does not let one of them through. The others go to the fragment to which the strongest path
    of affinities leads, so that fragments part between voxels and not on one of them.

    Args:
        affinities: with the three nearest offsets.
        per_section: flood each section alone, for sections thicker than pixels; else the volume at once.
        threshold: of the boundary, which the distance is measured to.
        smoothing: of that distance, in voxels; more gives fewer, larger fragments.

    Returns:
        `(z, y, x)` int32, fragments 1..N without gaps and without 0.

    Raises:
        KeyError: a nearest offset is missing.
    """
    height = boundary(affinities, per_section=per_section)
    edges = affinities.attractive().nearest().values.astype(np.float32)
    if not per_section:
        return _flood(edges, height, threshold, smoothing)
    found = np.zeros(height.shape, np.int32)
    last = 0
    for number, section in enumerate(height):
        found[number] = _flood(edges[1:, number], section, threshold, smoothing) + last
        last = int(found[number].max())
    return found


def _flood(edges: Array, height: Array, threshold: float, smoothing: float) -> Array:
    """Every voxel's fragment; `edges` has a channel for each axis of `height`, about the neighbour before."""
    seeds = _seeds(height, threshold, smoothing)
    inside = seeds > 0
    inside |= weakest(edges) > 1 - threshold
    flat = np.asarray(segmentation.watershed(height, seeds, mask=inside), dtype=np.int32)
    backwards = (-np.eye(height.ndim, dtype=int)).tolist()
    flooded: Array = grids.watershed_from_affinities(np.ascontiguousarray(edges), backwards, flat)
    return flooded


def weakest(edges: Array) -> Array:
    """The lowest affinity of each voxel to its neighbours, those before and those behind.

    Args:
        edges: `(c, ...)` with a channel for each axis behind it, about the neighbour before.
    """
    found = np.ones(edges.shape[1:], np.float32)
    for axis, channel in enumerate(edges):
        before = tuple(slice(0, -1) if at == axis else slice(None) for at in range(found.ndim))
        behind = tuple(slice(1, None) if at == axis else slice(None) for at in range(found.ndim))
        for here in (before, behind):
            found[here] = np.minimum(found[here], channel[behind])
    return found


def _seeds(height: Array, threshold: float, smoothing: float) -> Array:
    inside = height < threshold
    if not inside.any():
        inside = height == height.min()
    distance: Array = inside if inside.all() else ndi.distance_transform_edt(inside)
    smooth: Array = ndi.gaussian_filter(distance.astype(np.float32), smoothing)
    tops = (smooth == ndi.maximum_filter(smooth, 3)) & inside
    if not tops.any():  # the top of a plateau or of a ring may lie outside of it
        tops = inside
    around = np.ones((3,) * height.ndim)
    return np.asarray(ndi.label(tops, around)[0], dtype=np.int32)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if number == axis else slice(None) for number in range(3))
