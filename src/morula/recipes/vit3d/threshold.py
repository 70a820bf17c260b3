"""The classical way to find a neuron: take the background off, and cut at a grey value."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from morula.core.types import Array

__all__ = ["thresholded"]

_ndi: Any = import_module("scipy.ndimage")
_filters: Any = import_module("skimage.filters")

_WIDE = 15.0  # pixels; what varies more slowly is background
_FAINT = 0.02  # of the brightest voxel: darker is noise for certain and would hide two classes in one


def thresholded(image: Array) -> Array:
    """What is above Otsu's threshold, of the logarithm of all that stands out of a wide blur."""
    smooth = _ndi.gaussian_filter(image.astype(np.float32), (0.5, 1, 1))
    above = smooth - np.asarray(_ndi.gaussian_filter(smooth, (0, _WIDE, _WIDE)))
    outstanding = above[above > _FAINT * above.max(initial=0)]
    if len(outstanding) < 2 or outstanding.min() == outstanding.max():
        return np.zeros(image.shape, np.bool_)
    return above > np.exp(float(_filters.threshold_otsu(np.log(outstanding))))
