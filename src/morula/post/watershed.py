"""Maps to labels: a foreground and a centre distance become objects by a seeded watershed."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.post.border import (
    components,
    depth_inside,
    fill_holes,
    flooded,
    gaussian,
    inner_edges,
    largest_around,
    maximum_of_each,
    rebuilt,
    renumbered,
    slope,
    smallest_around,
)

__all__ = ["centre_distance", "drop_small", "regrow", "split"]


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
    inside = fill_holes(foreground > threshold)
    if not inside.any():
        return np.zeros(foreground.shape, dtype=np.int32)
    height = gaussian(distance.astype(np.float64), smoothing) * inside
    dome = height - rebuilt(np.clip(height - depth, 0, None), height)
    tops = (dome > 0.99 * np.minimum(depth, height)) & inside & (height > 0)
    return drop_small(flooded(-height, components(tops), inside), smallest)


def drop_small(labels: Array, smallest: float) -> Array:
    """Labels 1..N without the objects of fewer than `smallest` pixels, as int32."""
    area = np.bincount(labels.ravel())
    small = area < smallest
    kept = np.where(small[labels], 0, labels).astype(np.int32)
    return renumbered(kept)


def regrow(labels: Array, density: Array, *, reach: int = 3, smoothing: float = 1.0) -> Array:
    """Moves every outline to the nearest edge of the density: a watershed between core and surroundings.

    Args:
        labels: `(y, x)` objects.
        density: `(y, x)`.
        reach: how far an outline may move outwards, in pixels.
        smoothing: of the gradient, in pixels.
    """
    core = np.where(smallest_around(labels, 5) == largest_around(labels, 5), labels, 0)
    count = int(labels.max(initial=0))
    away = depth_inside(labels == 0) > reach
    markers = np.where(away, count + 1, core)
    grown = flooded(slope(density.astype(np.float64), smoothing), markers)
    grown[grown == count + 1] = 0
    lost = np.setdiff1d(np.arange(1, count + 1), np.unique(grown))
    return np.where(np.isin(labels, lost) & (grown == 0), labels, grown).astype(np.int32)


def centre_distance(labels: Array) -> Array:
    """Distance to the edge of the own object over its largest value there: `(y, x)` float32 in [0, 1]."""
    depth = depth_inside((labels > 0) & ~inner_edges(labels)) + (labels > 0)
    if not labels.any():
        return np.zeros(labels.shape, dtype=np.float32)
    deepest = np.concatenate([[1.0], maximum_of_each(depth, labels)])
    return (depth / np.maximum(deepest[labels], 1.0)).astype(np.float32)
