"""How much larger the pixels of one EM volume are than those of another, from texture alone.

At random points of both volumes the local structure is described at three scales an octave apart: Laplacian,
anisotropy of curvature and gradient, divided by their joint length so that contrast does not matter. If the
target's pixels are f times larger, its descriptors at scale sigma are distributed as the source's at f sigma.
Sliced Wasserstein distances between the two distributions, for shifts along a fine grid of scales, have
their minimum at f. It needs no labels and no network.

It compares what membranes and organelles look like. Between instruments, stains or animals these differ by
more than pixel sizes do; the residual of the best match tells, and the confidence is low. Do not rescale by
the factor where the confidence is below a half.

Measured with every second section against those between, resampled by 0.4, 0.65, 1, 1.6 and 2.5, error in
per cent: VNC 5, 0, 1, 0, 1; CDeep3M 1, 2, 0, 3, 9; ISBI 2012 8, 5, 1, 12, 2; FIB-25 2, 4, 0, 3, 4. Where
parts hold other tissue, what differs between tissues is added: VNC left against right 5, 5, 0, 8, 10; CDeep3M
upper against lower 6, 5, 2, 5, 6; FIB-25 in z 11, 12, 8, 15, 17. Of one of these four against another it is
sure by 0.44 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log, sqrt

import numpy as np
from scipy import ndimage as ndi

from morula.core.rng import Rng
from morula.core.types import Array

__all__ = ["LARGEST_FACTOR", "Scale", "estimate_scale"]

LARGEST_FACTOR = 3.0
STEPS = 6
"""Scales per octave; the minimum between them is that of a parabola."""
FINEST = 1.27
"""Standard deviation of the finest scale, in pixels; what is finer tells how an image was made."""
LEVELS = 37
SCALES = 3
SECTIONS, PIXELS, POINTS, DIRECTIONS = 10, 20_000_000, 12_000, 48
PIXEL_BLUR = 0.15
"""Variance in pixels^2 that sampling adds to what a coarse image shows."""
FLAT = 0.3
"""Part of the points, those of least structure, that say nothing about scale."""
UNLIKE = 0.065
"""Residual that says nothing; of one kind 0.012 to 0.033 were seen, between instruments 0.036 to 0.055."""


@dataclass(frozen=True)
class Scale:
    """An estimated ratio of pixel sizes.

    Attributes:
        factor: target pixel size over source pixel size.
        confidence: 1 for volumes of one kind and instrument, 0 for volumes that are alike at no scale.
        residual: distance of the two textures at this factor.
    """

    factor: float
    confidence: float
    residual: float


def estimate_scale(source: Array, target: Array, *, seed: int = 0) -> Scale:
    """Estimates the ratio of the pixel sizes of two EM volumes, in the plane of their sections.

    Args:
        source: `(z, y, x)` grey, of known pixel size.
        target: `(z, y, x)` grey; its pixel size is the source's times the result.
        seed: of the points and directions that are drawn.

    Raises:
        ValueError: a volume without three axes, too small to compare, or without any contrast.
    """
    rng = Rng(seed, "scale")
    plain, known = _responses(target, rng.at(1)), _responses(source, rng.at(0))
    coarse = _responses(target, rng.at(1), blur=PIXEL_BLUR)
    directions = rng.at(2).normal(size=(3 * SCALES, DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    quantiles = [_quantiles(levels, directions) for levels in (known, plain, coarse)]
    reach = ceil(log(LARGEST_FACTOR, 2) * STEPS)
    found: dict[int, float] = {}
    for shift in range(-reach, reach + 1):
        distance = _distance(quantiles[0], quantiles[2 if shift > 0 else 1], shift)
        if distance is not None:
            found[shift] = distance
    if len(found) < STEPS:
        sizes = f"{source.shape} and {target.shape}"
        raise ValueError(f"volumes of {sizes} are too small to compare their texture at many scales")
    best = min(found, key=lambda shift: found[shift])
    residual = found[best]
    return Scale(
        factor=2.0 ** ((best + _vertex(found, best)) / STEPS),
        confidence=max(0.0, 1.0 - residual / UNLIKE),
        residual=residual,
    )


def _responses(volume: Array, rng: np.random.Generator, *, blur: float = 0.0) -> list[Array]:
    """Laplacian, anisotropy and gradient of drawn points at each scale, `(3, n)` each, as far as they fit."""
    if volume.ndim != 3:
        raise ValueError(f"a volume has the axes (z, y, x), not the shape {volume.shape}")
    stack = _sections(volume)
    if not stack.std() > 0:
        raise ValueError("a volume without contrast has no texture")
    places = rng.random((3, POINTS)) * (np.array(stack.shape) - 1)[:, None]
    places[0] = places[0].round()
    found: list[Array] = []
    step = 1
    extent = min(stack.shape[1:])
    for level in range(LEVELS):
        sigma = FINEST * 2 ** (level / STEPS)
        if extent < 6 * sigma:
            break
        while sigma / step > 4:
            stack, step = _halved(stack), 2 * step
        at = np.stack([places[0], *((places[1:] + 0.5) / step - 0.5)])
        found.append(_local(stack, sqrt(max(sigma**2 - blur, 0.1)) / step, sigma / step, at))
    return found


def _sections(volume: Array) -> Array:
    """Sections spread over the volume, whole if two are not too large: a corner may hold other tissue."""
    area = volume.shape[1] * volume.shape[2]
    count = min(len(volume), SECTIONS, max(2, PIXELS // area))
    chosen = np.linspace(0, len(volume) - 1, count).round().astype(int)
    kept = min(1.0, sqrt(PIXELS / (count * area)))
    height, width = (round(kept * length) for length in volume.shape[1:])
    return volume[chosen, :height, :width].astype(np.float32)


def _local(stack: Array, blur: float, sigma: float, at: Array) -> Array:
    """Scale-normalised derivatives at points, after a Gaussian of standard deviation `blur`."""
    grey = ndi.gaussian_filter(stack, (0, blur, blur), truncate=3.5)
    down, right = (ndi.correlate1d(grey, [-0.5, 0, 0.5], axis=axis) for axis in (1, 2))
    down2, right2 = (ndi.correlate1d(grey, [1.0, -2, 1], axis=axis) for axis in (1, 2))
    mixed = ndi.correlate1d(down, [-0.5, 0, 0.5], axis=2)
    maps = (
        (down2 + right2) * sigma**2,
        np.sqrt((down2 - right2) ** 2 + 4 * mixed**2) * sigma**2,
        np.hypot(down, right) * sigma,
    )
    return np.stack([ndi.map_coordinates(each, at, order=1, mode="nearest") for each in maps])


def _halved(stack: Array) -> Array:
    height, width = stack.shape[1] // 2 * 2, stack.shape[2] // 2 * 2
    smooth = ndi.gaussian_filter(stack, (0, 0.8, 0.8), truncate=3)
    return smooth[:, :height:2, :width:2]


def _quantiles(levels: list[Array], directions: Array) -> list[Array]:
    """Of the descriptors that begin at each scale, along each direction: `(quantiles, directions)`."""
    span = (SCALES - 1) * STEPS
    found: list[Array] = []
    for first in range(len(levels) - span):
        joint = np.concatenate(levels[first : first + span + 1 : STEPS]).T
        length = np.sqrt((joint**2).mean(axis=1))
        kept = length > np.quantile(length, FLAT)
        unit = joint[kept] / length[kept, None]
        found.append(np.quantile(unit @ directions, np.linspace(0.02, 0.98, 49), axis=0))
    return found


def _distance(source: list[Array], target: list[Array], shift: int) -> float | None:
    """Mean sliced Wasserstein distance over all scales that both have, the source `shift` steps coarser."""
    pairs = [
        (first, first - shift) for first in range(max(0, shift), len(source)) if first - shift < len(target)
    ]
    if not pairs:
        return None
    return float(np.mean([np.abs(source[a] - target[b]).mean() for a, b in pairs]))


def _vertex(found: Mapping[int, float], best: int) -> float:
    """Where between neighbours a parabola through the minimum has its own, in steps."""
    if best - 1 not in found or best + 1 not in found:
        return 0.0
    low, middle, high = (found[best + step] for step in (-1, 0, 1))
    bend = low - 2 * middle + high
    return 0.5 * (low - high) / bend if bend > 0 else 0.0
