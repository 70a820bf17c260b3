"""Whether a traced neuron lies where its image is bright, or shifted or mirrored against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage as ndi

from morula.core.tree import Tree
from morula.core.types import Array

__all__ = ["Alignment", "align"]

_GAIN = 1.03  # times brighter must a shift make the trace; a trace that fits gains 1.00 by any shift
_MIRROR_GAIN = 1.5
_STANDS_OUT = (
    2.0  # times the mean; of the stacks that were tried true traces have 8 and more, others up to 1.4
)
_POINTS = 4000  # looked at; more do not change the mean


@dataclass(frozen=True)
class Alignment:
    """How a trace lies in its image. Brightness is the mean root of the grey value above the background.

    Attributes:
        shift: z, y, x in voxels to add to the trace; zeros where it fits as it is.
        gain: times brighter the trace is after the shift.
        mirrored: the axes, such as `y`, along which the trace must be mirrored to fit; empty if it fits.
        brightness: along the trace as it is.
        contrast: that brightness over the mean of the image; 0 in a black image.
    """

    shift: tuple[float, float, float]
    gain: float
    mirrored: str
    brightness: float
    contrast: float

    @property
    def stands_out(self) -> bool:
        """Whether the trace as it is runs where the image is bright at all."""
        return self.contrast > _STANDS_OUT


def align(tree: Tree, image: Array, *, reach: Sequence[int] = (2, 4, 4)) -> Alignment:
    """Compares the brightness along a trace with that along shifted and mirrored copies of it.

    Args:
        tree: points z, y, x in voxels.
        image: `(z, y, x)`, the neuron brighter than the background.
        reach: largest shift along z, y, x in voxels.

    Returns:
        The shift of whole voxels along which the trace is brightest, if that is worth it, and whether a
        mirror image of the trace is much brighter than the trace.
    """
    points = tree.sampled()
    points = points[:: max(1, len(points) // _POINTS)]
    grey = _brightness(image)
    middle = (np.array(image.shape) - 1) / 2
    here = _mean(grey, points)
    mirrors = {names: _mean(grey, middle + (points - middle) * signs) for names, signs in _mirrors()}
    brightest = max(mirrors, key=lambda names: mirrors[names])
    mean = float(grey.mean())
    mirrored = brightest if mirrors[brightest] > max(_MIRROR_GAIN * here, _STANDS_OUT * mean) else ""
    contrast = here / mean if mean > 0 else 0.0
    steps = [range(-most, most + 1) for most in reach]
    found = {step: _mean(grey, points + np.array(step)) for step in product(*steps)}
    best = max(found, key=lambda step: (found[step], -sum(map(abs, step))))
    gain = found[best] / here if here > 0 else 1.0
    if gain < _GAIN or mirrored:
        return Alignment((0.0, 0.0, 0.0), 1.0, mirrored, here, contrast)
    return Alignment((float(best[0]), float(best[1]), float(best[2])), gain, mirrored, here, contrast)


def _brightness(image: Array) -> Array:
    """Root of what stands out of the median, smoothed over a voxel, so that no bright spot decides."""
    above = np.maximum(image.astype(np.float32) - np.float32(np.median(image)), 0)
    return np.sqrt(ndi.gaussian_filter(above, (0.5, 1, 1)))


def _mirrors() -> Iterator[tuple[str, Array]]:
    """Names of mirrored axes, and the sign of every axis."""
    for signs in product((1, -1), repeat=3):
        if -1 in signs:
            yield "".join(name for name, sign in zip("zyx", signs, strict=True) if sign < 0), np.array(signs)


def _mean(grey: Array, points: Array) -> float:
    return float(ndi.map_coordinates(grey, points.T, order=1, mode="constant", cval=0.0).mean())
