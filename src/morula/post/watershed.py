"""Maps to labels: a foreground and a centre distance become objects by a seeded watershed."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.post.untyped import morphology, ndi, segmentation

__all__ = ["basins", "centre_distance", "drop_small", "filled", "regrow", "rims", "smooth_outlines", "split"]


def split(
    foreground: Array,
    distance: Array,
    *,
    threshold: float = 0.5,
    smoothing: float = 2.0,
    depth: float = 0.1,
    smallest: float = 20.0,
) -> Array:
    """Objects as the basins of `-distance` inside the foreground.

    Args:
        foreground: `(y, x)` probability.
        distance: `(y, x)` in [0, 1], 1 at the centre of an object and 0 at its edge.
        threshold: of the foreground.
        smoothing: of the distance before seeds are sought, in pixels.
        depth: how deep a valley between two seeds must be (h-maxima).
        smallest: area in pixels below which an object is dropped.

    Returns:
        `(y, x)` int32 labels 1..N.
    """
    inside = filled(foreground > threshold)
    return basins(inside, distance, smoothing=smoothing, depth=depth, smallest=smallest)


def basins(inside: Array, distance: Array, *, smoothing: float, depth: float, smallest: float) -> Array:
    """The basins of `-distance` inside a mask without holes; the arguments and the result of `split`.

    Args:
        inside: `(y, x)` mask.
        distance: `(y, x)` in [0, 1], 1 at the centre of an object and 0 at its edge.
        smoothing: of the distance before seeds are sought, in pixels.
        depth: how deep a valley between two seeds must be (h-maxima).
        smallest: area in pixels below which an object is dropped.
    """
    if not inside.any():
        return np.zeros(inside.shape, dtype=np.int32)
    height: Array = ndi.gaussian_filter(distance.astype(np.float64), smoothing) * inside
    dome: Array = height - morphology.reconstruction(np.clip(height - depth, 0, None), height)
    tops = (dome > 0.99 * np.minimum(depth, height)) & inside & (height > 0)
    seeds = np.asarray(ndi.label(tops)[0], dtype=np.int32)
    return drop_small(segmentation.watershed(-height, seeds, mask=inside), smallest)


def filled(mask: Array) -> Array:
    """A mask `(y, x)` without holes: background that does not reach the edge."""
    return np.asarray(ndi.binary_fill_holes(mask))


def drop_small(labels: Array, smallest: float) -> Array:
    """Labels of any shape without the objects of fewer than `smallest` pixels; numbered 1..N, int32."""
    area = np.bincount(labels.ravel())
    small = area < smallest
    kept = np.where(small[labels], 0, labels).astype(np.int32)
    relabelled: Array = segmentation.relabel_sequential(kept)[0]
    return relabelled.astype(np.int32)


def smooth_outlines(labels: Array, share: float, widest: float, *, level: float = 0.5) -> Array:
    """Each object as what is left of its mask, blurred, above a level: without spikes and teeth.

    The blur is a share of the object's own diameter, so that a small object is not lost. Where two blurred
    objects meet, the pixel belongs to the larger value. At a level of one half straight edges stay where they
    are, and so does the border of the image always.

    Args:
        labels: `(y, x)` objects.
        share: standard deviation of the blur over the diameter of a disc of the object's area; 0 = none.
        widest: largest standard deviation, in pixels.
        level: that a pixel must exceed; more than one half makes objects narrower.

    Returns:
        `(y, x)` int32 with the ids of `labels`; what is much narrower than the blur is gone.
    """
    if share == 0:
        return labels.astype(np.int32)
    smooth = np.zeros(labels.shape, dtype=np.int32)
    highest = np.full(labels.shape, level, dtype=np.float32)
    widths = np.minimum(share * 2 * np.sqrt(np.bincount(labels.ravel()) / np.pi), widest).tolist()
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        reach = int(3 * widths[label]) + 1
        y, x = (slice(max(side.start - reach, 0), side.stop + reach) for side in box)
        mask = (labels[y, x] == label).astype(np.float32)
        soft: Array = ndi.gaussian_filter(mask, widths[label], mode="nearest")
        won = soft > highest[y, x]
        highest[y, x][won] = soft[won]
        smooth[y, x][won] = label
    return smooth


def regrow(labels: Array, density: Array, *, reach: int = 3, smoothing: float = 1.0) -> Array:
    """Moves every outline to the nearest edge of the density: a watershed between core and surroundings.

    Args:
        labels: `(y, x)` objects.
        density: `(y, x)`.
        reach: how far an outline may move outwards, in pixels.
        smoothing: of the gradient, in pixels.
    """
    core: Array = np.where(ndi.minimum_filter(labels, 5) == ndi.maximum_filter(labels, 5), labels, 0)
    count = int(labels.max(initial=0))
    away: Array = ndi.distance_transform_edt(labels == 0) > reach
    markers = np.where(away, count + 1, core)
    slope: Array = ndi.gaussian_gradient_magnitude(density.astype(np.float64), smoothing)
    grown: Array = np.asarray(segmentation.watershed(slope, markers))
    grown[grown == count + 1] = 0
    lost = np.setdiff1d(np.arange(1, count + 1), np.unique(grown))
    return np.where(np.isin(labels, lost) & (grown == 0), labels, grown).astype(np.int32)


def centre_distance(labels: Array) -> Array:
    """Distance to the edge of the own object over its largest value there: `(y, x)` float32 in [0, 1]."""
    edges: Array = segmentation.find_boundaries(labels, mode="inner")
    depth: Array = np.asarray(ndi.distance_transform_edt((labels > 0) & ~edges)) + (labels > 0)
    count = int(labels.max(initial=0))
    if count == 0:
        return np.zeros(labels.shape, dtype=np.float32)
    tops: Array = np.asarray(ndi.maximum(depth, labels, np.arange(1, count + 1)))
    deepest = np.concatenate([[1.0], tops])
    return (depth / np.maximum(deepest[labels], 1.0)).astype(np.float32)


def rims(labels: Array, width: float) -> Array:
    """What lies around each object and in none, `(y, x)`; a pixel between two belongs to the nearer one.

    Args:
        labels: `(y, x)`.
        width: in pixels.
    """
    return np.where(labels > 0, 0, segmentation.expand_labels(labels, width))
