"""Local shape descriptors: where, how large and how long an object is around each of its voxels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from morula.core.types import Array

__all__ = ["DESCRIPTORS", "shape_descriptors"]

DESCRIPTORS = 10
"""Channels: mean offset z y x, variance z y x, correlation zy zx yx, size."""

_REACH = 3.0  # sigmas, beyond which the window is cut
_STEADY = 1e-3  # of the squared sigma: the least variance that a correlation is divided by
_PAIRS = ((0, 1), (0, 2), (1, 2))


def shape_descriptors(
    labels: Array, sigma: tuple[float, float, float], *, every: tuple[int, int, int] = (1, 1, 1)
) -> Array:
    """Statistics of the part of each object that a Gaussian window around a voxel sees, all in [0, 1].

    With weights w of the window in the voxel's own object, and u the places they are at: size m = sum w; mean
    offset sum w u / m - v, by sigma, halved, plus 1/2; variances by sigma squared; correlations halved plus
    1/2. Outside of objects all are 0.

    Args:
        labels: `(z, y, x)`, 0 and less = no object.
        sigma: of the window in voxels, z, y, x.
        every: measure at every such voxel and give the ones between the same; a few times 2 is much faster.

    Returns:
        `(10, z, y, x)` float32.

    Source: Sheridan et al., Nature Methods 2023, "Local shape descriptors for neuron segmentation", and the
    scales of its code (funkelab/lsd).

    >>> bar = np.zeros((1, 1, 9), int)
    >>> bar[..., 2:7] = 4
    >>> shape_descriptors(bar, (1.0, 1.0, 2.0))[2, 0, 0].astype(float).round(1).tolist()
    [0.0, 0.0, 0.8, 0.6, 0.5, 0.4, 0.2, 0.0, 0.0]
    """
    z, y, x = every
    coarse = np.maximum(labels[::z, ::y, ::x], 0)
    ids, numbers = np.unique(coarse, return_inverse=True)
    coarse = numbers.reshape(coarse.shape) + int(ids[0] != 0)  # 1..n, however large the ids
    width = np.array(sigma) / every
    found = np.zeros((DESCRIPTORS, *coarse.shape), np.float32)
    margin = np.ceil(_REACH * width).astype(int)
    for number, box in enumerate(ndi.find_objects(coarse), start=1):
        if box is None:
            continue
        around = tuple(
            slice(max(0, each.start - more), each.stop + more) for each, more in zip(box, margin, strict=True)
        )
        inside = coarse[around] == number
        found[:, *around][:, inside] = _of_object(inside, width)[:, inside]
    for axis, step in enumerate(every, start=1):
        found = np.repeat(found, step, axis=axis) if step > 1 else found
    filled = found[:, : labels.shape[0], : labels.shape[1], : labels.shape[2]]
    return np.where(labels > 0, filled, np.float32(0))


def _of_object(inside: Array, sigma: Array) -> Array:
    """The descriptors of one object in its box; those of voxels outside of it mean nothing."""
    axes = [np.arange(size, dtype=float) - size / 2 for size in inside.shape]
    places = np.meshgrid(*axes, indexing="ij")
    mass = _seen(inside, sigma)
    size = np.maximum(mass, np.finfo(np.float32).tiny)
    mean = [_seen(inside * place, sigma) / size for place in places]
    variance = [
        np.maximum(_seen(inside * place**2, sigma) / size - middle**2, 0) / width**2
        for place, middle, width in zip(places, mean, sigma, strict=True)
    ]
    steady = [np.maximum(each, _STEADY) for each in variance]
    correlation = [
        (_seen(inside * places[a] * places[b], sigma) / size - mean[a] * mean[b])
        / (sigma[a] * sigma[b] * np.sqrt(steady[a] * steady[b]))
        for a, b in _PAIRS
    ]
    offset = [
        (middle - place) / width * 0.5 + 0.5 for middle, place, width in zip(mean, places, sigma, strict=True)
    ]
    whole = [*offset, *variance, *(each * 0.5 + 0.5 for each in correlation), mass]
    return np.clip(np.stack(whole), 0, 1).astype(np.float32)


def _seen(values: Array, sigma: Array) -> Array:
    return np.asarray(ndi.gaussian_filter(values.astype(float), sigma, mode="constant", truncate=_REACH))
