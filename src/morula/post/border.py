"""A typed border to scipy.ndimage and scikit-image, whose functions have no types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import scipy.ndimage  # pyright: ignore[reportMissingTypeStubs]
import skimage.draw
import skimage.morphology
import skimage.segmentation

from morula.core.types import Array

__all__ = [
    "blob_response",
    "components",
    "depth_inside",
    "fill_holes",
    "flooded",
    "gaussian",
    "inner_edges",
    "largest_around",
    "maximum_of_each",
    "polygon_pixels",
    "rebuilt",
    "renumbered",
    "sampled",
    "slope",
    "smallest_around",
]

_ndi = cast(Any, scipy.ndimage)
_draw, _morphology, _segmentation = (
    cast(Any, module) for module in (skimage.draw, skimage.morphology, skimage.segmentation)
)


def gaussian(image: Array, sigma: float, order: Sequence[int] = (0, 0)) -> Array:
    """Gaussian smoothing, or a derivative of it along each axis."""
    return _ndi.gaussian_filter(image, sigma, order=tuple(order))


def blob_response(image: Array, sigma: float) -> Array:
    """Scale-normalised negative Laplacian of Gaussian: high at the centre of bright blobs."""
    return -_ndi.gaussian_laplace(image, sigma) * sigma**2


def slope(image: Array, sigma: float) -> Array:
    """Length of the smoothed gradient."""
    return _ndi.gaussian_gradient_magnitude(image, sigma)


def largest_around(image: Array, size: int) -> Array:
    """Largest value in a square window."""
    return _ndi.maximum_filter(image, size=size)


def smallest_around(image: Array, size: int) -> Array:
    """Smallest value in a square window."""
    return _ndi.minimum_filter(image, size=size)


def sampled(image: Array, y: Array, x: Array) -> Array:
    """Values between pixels, linearly; outside, the nearest pixel's."""
    flat = _ndi.map_coordinates(image, np.stack([y.ravel(), x.ravel()]), order=1, mode="nearest")
    return np.asarray(flat).reshape(y.shape)


def depth_inside(mask: Array) -> Array:
    """Euclidean distance of each pixel of the mask to the nearest pixel outside."""
    return _ndi.distance_transform_edt(mask)


def fill_holes(mask: Array) -> Array:
    """The mask without holes."""
    return _ndi.binary_fill_holes(mask)


def components(mask: Array) -> Array:
    """Connected components, 1..N, int32."""
    labels, _ = _ndi.label(mask)
    return np.asarray(labels, dtype=np.int32)


def maximum_of_each(values: Array, labels: Array) -> Array:
    """Largest value within each label 1..N."""
    return np.asarray(_ndi.maximum(values, labels, np.arange(1, int(labels.max(initial=0)) + 1)))


def rebuilt(seed: Array, ceiling: Array) -> Array:
    """Morphological reconstruction of `ceiling` from `seed` by dilation."""
    return _morphology.reconstruction(seed, ceiling)


def flooded(heights: Array, seeds: Array, mask: Array | None = None) -> Array:
    """Watershed of `heights` from labelled seeds."""
    return np.asarray(_segmentation.watershed(heights, seeds, mask=mask))


def inner_edges(labels: Array) -> Array:
    """Pixels of objects that touch another object or the background."""
    return _segmentation.find_boundaries(labels, mode="inner")


def renumbered(labels: Array) -> Array:
    """Labels 1..N without gaps, int32."""
    return np.asarray(_segmentation.relabel_sequential(labels)[0], dtype=np.int32)


def polygon_pixels(y: Array, x: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Indices of the pixels inside a polygon."""
    return _draw.polygon(y, x, shape)
