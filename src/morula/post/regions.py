"""Regions of a density map at many thresholds, as candidates beside the star-convex contours.

A contour is traced for what is nearly round; a long or bent object that stands alone is a connected region
at some threshold. What a region is worth is measured as for a contour: how strong and how complete its edge
is, how round and how convex it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from morula.core.types import Array
from morula.post.contours import WEAK, Candidates
from morula.post.untyped import ndi, segmentation, spatial
from morula.post.watershed import drop_small

__all__ = ["regions"]

_BENT = 0.9  # a region less convex than this is also cut at its necks
_CORNERS = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])


def regions(
    density: Array, levels: Sequence[float], *, smallest: float, largest: float, smoothing: float = 1.3
) -> Candidates:
    """Connected regions above each level, holes filled, and the parts of those that are not convex.

    Args:
        density: `(y, x)`, objects bright, about 1 from background to object.
        levels: thresholds of the smoothed density.
        smallest: area in pixels below which a region is dropped.
        largest: area in pixels above which it is dropped.
        smoothing: of the gradient, in pixels.
    """
    smooth: Array = ndi.gaussian_filter(density, 0.6 * smoothing)
    slope = np.stack([ndi.gaussian_filter(density, smoothing, order=order) for order in ((1, 0), (0, 1))])
    found: list[Candidates] = []
    for level in levels:
        inside: Array = ndi.binary_fill_holes(ndi.binary_opening(smooth > level))
        whole = _between(np.asarray(ndi.label(inside)[0]), smallest, largest * 4)
        measured = _measure(whole, slope)
        found.append(measured.where(measured.area <= largest))
        bent = np.isin(whole, np.flatnonzero(measured.convexity < _BENT) + 1)
        if bent.any():
            parts = _cut(bent, round(float(np.sqrt(smallest / np.pi))))
            found.append(_measure(_between(parts, smallest, largest), slope))
    return Candidates.join(found)


def _cut(inside: Array, reach: int) -> Array:
    """Parts of a mask around the places that are deepest within `reach` pixels."""
    depth: Array = ndi.gaussian_filter(np.asarray(ndi.distance_transform_edt(inside)), 1.0)
    tops = (ndi.maximum_filter(depth, 2 * reach + 1) == depth) & inside
    return np.asarray(segmentation.watershed(-depth, ndi.label(tops)[0], mask=inside), dtype=np.int32)


def _between(labels: Array, smallest: float, largest: float) -> Array:
    area = np.bincount(labels.ravel())
    area[0] = 0
    return drop_small(np.where(area[labels] > largest, 0, labels), smallest)


def _measure(labels: Array, slope: Array) -> Candidates:
    """Every object of a label image as a candidate; where two touch, their common edge counts as none."""
    boxes: list[tuple[slice, slice]] = ndi.find_objects(labels)
    masks = [labels[box] == index for index, box in enumerate(boxes, start=1)]
    area = np.array([mask.sum() for mask in masks], dtype=np.float64)
    rim: Array = segmentation.find_boundaries(labels, mode="inner", connectivity=1)
    inward = np.stack(
        [ndi.gaussian_filter((labels > 0).astype(np.float32), 1.0, order=order) for order in ((1, 0), (0, 1))]
    )
    fall: Array = (slope * inward).sum(axis=0) / np.maximum(np.hypot(*inward), 1e-6)
    around = np.where(labels == 0, labels.max(initial=0) + 1, labels)
    touching = (ndi.maximum_filter(np.where(labels == 0, -1, labels), 3) != labels) | (
        ndi.minimum_filter(around, 3) != labels
    )
    fall = np.where(touching & rim, np.minimum(fall, 0.0), fall)
    y, x = np.nonzero(rim)
    owner = labels[y, x]
    order = np.lexsort((fall[y, x], owner))
    edge, convexity, roundness = np.zeros(len(area)), np.zeros(len(area)), np.zeros(len(area))
    ends = np.searchsorted(owner[order], np.arange(1, len(area) + 2))
    values, points = fall[y, x][order], np.stack([y, x], axis=1)[order]
    for index, (start, stop) in enumerate(itertools.pairwise(ends)):
        own = values[start:stop]
        edge[index] = 0.5 * own.mean() + 0.5 * own[int(WEAK * len(own))]
        hull = spatial.ConvexHull((points[start:stop, None] + _CORNERS).reshape(-1, 2))
        convexity[index] = min(area[index] / hull.volume, 1.0)
        roundness[index] = min(4 * np.pi * area[index] / hull.area**2, 1.0)
    return Candidates(boxes, masks, area, roundness, convexity, edge)
