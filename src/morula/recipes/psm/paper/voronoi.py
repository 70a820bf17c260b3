"""Stage 5: from second-stage probabilities to points, and from points to the target of the final network."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import find_boundaries

from morula.core.types import Array
from morula.recipes.psm.paper.losses import IGNORE

__all__ = ["gaussian_sigma", "merge", "peaks", "random_points", "target"]

_FEWEST, _RANGE = 4, 255


def gaussian_sigma(width: int) -> float:
    """The sigma in pixels that OpenCV takes for a Gaussian kernel of `width` pixels.

    >>> round(gaussian_sigma(13), 3)
    2.3
    """
    return 0.3 * ((width - 1) * 0.5 - 1) + 0.8


def peaks(
    probability: Array, *, blur: int, threshold: float, min_distance: int, exclude_border: int
) -> Array:
    """Local maxima of the blurred probability, `(n, 2)` y and x in pixels, the highest first.

    Args:
        probability: `(y, x)` of the foreground.
        blur: width of the Gaussian kernel in pixels, odd.
        threshold: values below become zero first.
        min_distance: smallest distance of two peaks in pixels.
        exclude_border: no peaks this close to the border, in pixels.
    """
    smooth = ndimage.gaussian_filter(
        probability.astype(np.float64), gaussian_sigma(blur), mode="mirror", radius=blur // 2
    )
    smooth[smooth < threshold] = 0
    border: Any = exclude_border  # annotated as bool in scikit-image
    return peak_local_max(smooth, min_distance=min_distance, exclude_border=border)


def merge(points: Array, closer: float) -> Array:
    """One point, the mean, for each group of points; greedy.

    A point joins the first group of which any member is closer than `closer` in L1, else it opens one.

    Args:
        points: `(n, 2)` y and x in pixels.
        closer: a length in pixels.

    >>> merge(np.array([[0, 0], [0, 10], [50, 50]]), 20).tolist()
    [[0.0, 5.0], [50.0, 50.0]]
    """
    groups: list[list[Array]] = []
    for point in points.astype(np.float64):
        near = (g for g in groups if np.abs(np.stack(g) - point).sum(axis=1).min() < closer)
        group = next(near, None)
        if group is None:
            groups.append([point])
        else:
            group.append(point)
    return np.array([np.mean(group, axis=0) for group in groups]).reshape(-1, 2)


def random_points(points: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """The points, or four random ones in [0, 255) where there are fewer than four (a published defect).

    Args:
        points: `(n, 2)` y and x in pixels.
        shape: of the image; keeps the random points inside.
        rng: draws them.
    """
    if len(points) >= _FEWEST:
        return points
    return rng.integers(0, np.minimum(shape[:2], _RANGE), (_FEWEST, 2)).astype(np.float64)


def target(points: Array, shape: tuple[int, ...], disc: int) -> Array:
    """What the final network learns from points: `(y, x)` uint8, 1 near points, 0 on borders, else `IGNORE`.

    A border is a pixel beside another point's Voronoi cell; the image's own border is none. Cells are those
    of points rounded to pixels. Points win over borders.

    Args:
        points: `(n, 2)` y and x in pixels; none at all gives a target that is ignored.
        shape: `(y, x)` of the image.
        disc: radius in pixels around a point.
    """
    found = np.full(shape, IGNORE, np.uint8)
    if len(points) == 0:
        return found
    y, x = np.clip(np.rint(points).astype(int), 0, np.array(shape) - 1).T
    seeds = np.zeros(shape, np.int32)
    seeds[y, x] = np.arange(1, len(points) + 1)
    transform: Any = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    distance, (rows, columns) = transform
    found[find_boundaries(seeds[rows, columns], connectivity=1, mode="thick")] = 0
    found[distance <= disc] = 1
    return found
