"""Does a mask follow the image: can its pixels be told by look, is its outline an edge? No truth is needed.

A mask of one kind of object can be predicted from the look of its pixels: a small classifier that learns it
in one half of the image finds it again in the other. It cannot where half of the objects were missed,
because what was missed looks the same, nor where false ones were added, nor where the mask was moved.
Eroding and dilating hardly changes that; there the outline leaves the edges of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from math import pi, sqrt
from typing import Any

import numpy as np

from morula.core.rng import Rng
from morula.core.types import Array

__all__ = ["Look", "edge_contrast", "look", "predictability"]

PIXELS = 60_000
"""Most pixels drawn from all stacks, no more than half of them."""
OCTAVES = 5
"""Scales of the features, from 1 to 16 pixels, each twice as coarse."""
HIDDEN = 200
"""Random features of the classifier."""
RIDGE = 1e-3
SMOOTH = 2.0
"""Standard deviation in pixels at which gradients are taken."""

_ndi: Any = import_module("scipy.ndimage")


@dataclass(frozen=True)
class Look:
    """Images prepared once, to judge many masks of them.

    Attributes:
        shapes: `(z, y, x)` of each stack.
        drawn: `(n,)` flat indices of the drawn pixels, one array a stack.
        features: `(m, k)` of all drawn pixels, stack after stack.
        first: `(m,)` which of them lie in the first half of their stack.
        slope: `(z, y, x)` float32 gradient magnitude of each stack.
    """

    shapes: tuple[tuple[int, ...], ...]
    drawn: tuple[Array, ...]
    features: Array
    first: Array
    slope: tuple[Array, ...]


def look(images: Sequence[Array], *, seed: int = 0) -> Look:
    """Computes what `predictability` and `edge_contrast` need of images.

    Args:
        images: stacks `(z, y, x)` or `(y, x)`, grey.
        seed: of the pixels that are drawn, and of the classifier.

    Raises:
        ValueError: no image, or one with fewer than 2 or more than 3 axes.
    """
    if not images or any(image.ndim not in (2, 3) for image in images):
        raise ValueError("give at least one image with the axes (z, y, x) or (y, x)")
    stacks = [(image if image.ndim == 3 else image[None]).astype(np.float32) for image in images]
    whole = sum(stack.size for stack in stacks)
    count = min(PIXELS, whole // 2)
    rng = Rng(seed, "look")
    drawn: list[Array] = []
    for number, stack in enumerate(stacks):
        share = max(1, round(count * stack.size / whole))
        drawn.append(np.sort(rng.at(number).integers(stack.size, size=share)))
    raw = np.concatenate([_features(*pair) for pair in zip(stacks, drawn, strict=True)])
    scaled = (raw - raw.mean(axis=0)) / np.maximum(raw.std(axis=0), 1e-6)
    weights = rng.child("hidden").at(0).normal(size=(scaled.shape[1] + 1, HIDDEN))
    bent = np.tanh(1.5 * scaled @ weights[1:] / sqrt(scaled.shape[1]) + weights[0])
    features = np.concatenate([np.ones((len(scaled), 1)), scaled, bent], axis=1)
    first = np.concatenate([_first_half(s.shape, d) for s, d in zip(stacks, drawn, strict=True)])
    shapes = tuple(stack.shape for stack in stacks)
    return Look(shapes, tuple(drawn), features, first, tuple(_slope(stack) for stack in stacks))


def predictability(masks: Sequence[Array], seen: Look) -> float:
    """How well a mask's pixels are told apart by look, in parts of the image that the classifier did not see.

    A ridge regression on random features of intensity, local contrast, gradient and Laplacian at five scales
    learns the mask in one half of every stack and predicts the other. As many pixels as the mask has are
    called foreground, those of highest prediction; the answer is the kappa of these with the mask.

    Args:
        masks: one for each image of `seen`, shaped like it; non-zero = foreground.
        seen: of the images.

    Returns:
        Cohen's kappa: 1 is perfect, 0 is chance; 0 for a mask without foreground or background.

    Raises:
        ValueError: the masks are not shaped like the images.

    >>> grey = np.tile(np.repeat([20.0, 200.0], 16), (1, 64, 2)) + np.arange(64)[:, None] % 3
    >>> predictability([grey > 100], look([grey])) > 0.9
    True
    """
    _check(masks, seen)
    pairs = zip(masks, seen.drawn, strict=True)
    truth = np.concatenate([(mask.ravel()[drawn] != 0).astype(np.float64) for mask, drawn in pairs])
    count = int(truth.sum())
    if count in (0, len(truth)):
        return 0.0
    predicted = np.zeros_like(truth)
    for half in (seen.first, ~seen.first):
        part = seen.features[half]
        ridge = RIDGE * max(len(part), 1) * np.eye(part.shape[1])
        predicted[~half] = seen.features[~half] @ np.linalg.solve(part.T @ part + ridge, part.T @ truth[half])
    called = np.zeros(len(truth), np.bool_)
    called[np.argsort(-predicted, kind="stable")[:count]] = True
    chance = count / len(truth)
    return float((truth[called].mean() - chance) / (1 - chance))


def edge_contrast(masks: Sequence[Array], seen: Look, *, area: float) -> float:
    """How much stronger the image's gradient is on the outlines than a little way off them.

    "On" is within 7 % and "off" between 20 and 40 % of an object's radius, on both sides.

    Args:
        masks: one for each image of `seen`, shaped like it; non-zero = foreground.
        seen: of the images.
        area: of a typical cross-section, in pixels.

    Returns:
        (on - off) / (on + off) of the mean gradients, in [-1, 1]; 0 where there is no outline.

    Raises:
        ValueError: the masks are not shaped like the images.

    >>> grey = np.zeros((1, 64, 64))
    >>> grey[0, 16:48, 16:48] = 100
    >>> edge_contrast([grey > 50], look([grey]), area=1024) > 0.5
    True
    """
    _check(masks, seen)
    radius = sqrt(max(area, 1.0) / pi)
    near, low, high = max(1.5, 0.07 * radius), max(3.0, 0.2 * radius), max(6.0, 0.4 * radius)
    sums, counts = np.zeros(2), np.zeros(2)
    for mask, slope in zip(masks, seen.slope, strict=True):
        for section, steep in zip((mask if mask.ndim == 3 else mask[None]) != 0, slope, strict=True):
            away = _distance(section)
            for row, band in enumerate((away <= near, (away > low) & (away <= high))):
                sums[row] += steep[band].sum(dtype=np.float64)
                counts[row] += np.count_nonzero(band)
    on, off = sums / np.maximum(counts, 1)
    return float((on - off) / (on + off)) if counts.all() and on + off > 0 else 0.0


def _features(stack: Array, drawn: Array) -> Array:
    """`(n, 4 octaves)` of the drawn pixels: grey, local contrast, gradient, Laplacian on a pyramid."""
    z, y, x = np.unravel_index(drawn, stack.shape)
    level = (stack - stack.mean()) / max(float(stack.std()), 1e-6)
    square = level * level
    columns: list[Array] = []
    for octave in range(OCTAVES):
        size = 2**octave
        grey = _ndi.gaussian_filter(level, (0, 1, 1))
        contrast = np.sqrt(np.maximum(_ndi.gaussian_filter(square, (0, 1, 1)) - grey * grey, 0))
        steep = _steepness(grey)
        bend = sum(_ndi.correlate1d(grey, [1.0, -2.0, 1.0], axis=axis) for axis in (1, 2))
        place = np.stack([z, (y + 0.5) / size - 0.5, (x + 0.5) / size - 0.5])
        for values in (grey, contrast, steep, bend):
            columns.append(_ndi.map_coordinates(values, place, order=1, mode="nearest"))
        if min(level.shape[1:]) < 4:
            break
        level, square = _halved(level), _halved(square)
    return np.stack(columns, axis=1).astype(np.float64)


def _halved(stack: Array) -> Array:
    height, width = stack.shape[1] // 2, stack.shape[2] // 2
    pairs: Array = stack[:, : 2 * height, : 2 * width].reshape(len(stack), height, 2, width, 2)
    return pairs.mean(axis=(2, 4))


def _first_half(shape: tuple[int, ...], drawn: Array) -> Array:
    """Along the longer side of the sections: neighbouring sections show the same objects."""
    axis = 1 if shape[1] > shape[2] else 2
    return np.unravel_index(drawn, shape)[axis] < shape[axis] // 2


def _slope(stack: Array) -> Array:
    return _steepness(np.asarray(_ndi.gaussian_filter(stack, (0, SMOOTH, SMOOTH))))


def _steepness(stack: Array) -> Array:
    """Gradient magnitude within each section."""
    steep: Array = np.hypot(*(_ndi.correlate1d(stack, [-0.5, 0.0, 0.5], axis=axis) for axis in (1, 2)))
    return steep


def _distance(section: Array) -> Array:
    """Of each pixel to the outline, in pixels; infinite where there is none."""
    if not section.any() or section.all():
        return np.full(section.shape, np.inf)
    inwards: Array = _ndi.distance_transform_edt(section)
    outwards: Array = _ndi.distance_transform_edt(~section)
    return np.where(section, inwards, outwards)


def _check(masks: Sequence[Array], seen: Look) -> None:
    found = tuple(mask.shape if mask.ndim == 3 else (1, *mask.shape) for mask in masks)
    if found != seen.shapes:
        raise ValueError(f"masks of {found} for images of {seen.shapes}")
