"""Whether a traced neuron lies where its image is bright, or shifted or mirrored against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Array

__all__ = ["Alignment", "align", "is_dark", "refuse_mirrored"]

_GAIN = 1.03  # times brighter must a shift make the trace; a trace that fits gains 1.00 by any shift
_MIRROR_GAIN = 1.5
_STANDS_OUT = (
    2.0  # times the mean; of the stacks that were tried true traces have 8 and more, others up to 1.4
)
_RELIEF = 6.0  # standard deviations; other traces have 4 or so, true ones 15 and more
_WIDTHS = ((5, 17, 17), (17, 65, 65))  # of what surrounds a voxel; the second is for thick neurites
_COPIES = 64  # of the trace, spread evenly by steps of these shares of the image
_STEP = (0.8191725134, 0.6710436067, 0.5497004779)
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
        relief: how much brighter than its surroundings the trace is, in standard deviations of the same of
            copies of it all over the image, so that noise and bright slabs give none; 0 in a black image.
    """

    shift: tuple[float, float, float]
    gain: float
    mirrored: str
    brightness: float
    contrast: float
    relief: float

    @property
    def stands_out(self) -> bool:
        """Whether the trace as it is runs where the image is bright at all.

        Noise hides the contrast, and not the relief; a thick, straight neurite, which many copies meet, the
        relief.
        """
        return self.contrast > _STANDS_OUT or self.relief > _RELIEF


def align(tree: Tree, image: Array, *, reach: Sequence[int] = (2, 4, 4)) -> Alignment:
    """Compares the brightness along a trace with that along shifted and mirrored copies of it.

    Args:
        tree: points z, y, x in voxels.
        image: `(z, y, x)`, the neuron brighter than the background.
        reach: largest shift along z, y, x in voxels.

    Returns:
        The shift of whole voxels along which the trace is brightest, if that is worth it, and whether a
        mirror image of the trace is much brighter against its surroundings than the trace.
    """
    points = tree.sampled()
    points = points[:: max(1, len(points) // _POINTS)]
    grey = _brightness(image)
    here = _mean(grey, points)
    reliefs = max((_reliefs(grey, points, width) for width in _WIDTHS), key=lambda found: found[""])
    relief, highest = reliefs[""], max(reliefs, key=lambda names: reliefs[names])
    mirrored = highest if reliefs[highest] > max(_MIRROR_GAIN * relief, _RELIEF) else ""
    mean = float(grey.mean())
    contrast = here / mean if mean > 0 else 0.0
    steps = [range(-most, most + 1) for most in reach]
    found = {step: _mean(grey, points + np.array(step)) for step in product(*steps)}
    best = max(found, key=lambda step: (found[step], -sum(map(abs, step))))
    gain = found[best] / here if here > 0 else 1.0
    if gain < _GAIN or mirrored:
        best, gain = (0, 0, 0), 1.0
    shift = float(best[0]), float(best[1]), float(best[2])
    return Alignment(shift, gain, mirrored, here, contrast, relief)


def is_dark(tree: Tree, image: Array) -> bool:
    """Whether a trace runs where its image is darker than around it, as in transmitted light.

    Only the relief says so: where most of an image is bright, any dark spot stands out by its contrast.

    Args:
        tree: points z, y, x in voxels.
        image: `(z, y, x)`.
    """
    found = align(tree, -image.astype(np.float32))
    return found.relief > _RELIEF and not found.mirrored


def refuse_mirrored(where: Path | str, alignment: Alignment) -> None:
    """Refuses a trace that lies mirrored in its stack.

    Raises:
        DataError: it does.
    """
    if alignment.mirrored:
        axes = " and ".join(alignment.mirrored)
        found = f"the trace fits its stack only when it is mirrored along {axes}"
        raise DataError(where, found, f"flip {axes} of the trace or of the stack")


def _brightness(image: Array) -> Array:
    """Root of what stands out of the median, smoothed over a voxel, so that no bright spot decides."""
    above = np.maximum(image.astype(np.float32) - np.float32(np.median(image)), 0)
    return np.sqrt(ndi.gaussian_filter(above, (0.5, 1, 1)))


def _reliefs(grey: Array, points: Array, width: Sequence[int]) -> dict[str, float]:
    """Relief of the trace, named "", and of its mirror images by the names of their axes."""
    around = grey
    for axis, length in enumerate(width):
        around = ndi.uniform_filter1d(around, length, axis)
    above = grey - around
    shape = np.array(grey.shape)
    places, steps = np.round(points).astype(np.intp), np.arange(1, _COPIES + 1)[:, None] * _STEP
    offsets = (steps % 1 * shape).astype(np.intp)
    spread = float(np.std([above[tuple((places + offset).T % shape[:, None])].mean() for offset in offsets]))
    middle = (shape - 1) / 2
    return {
        names: _mean(above, middle + (points - middle) * signs) / spread if spread > 0 else 0.0
        for names, signs in _mirrors()
    }


def _mirrors() -> Iterator[tuple[str, Array]]:
    """Names of mirrored axes, none at first, and the sign of every axis."""
    for signs in product((1, -1), repeat=3):
        yield "".join(name for name, sign in zip("zyx", signs, strict=True) if sign < 0), np.array(signs)


def _mean(grey: Array, points: Array) -> float:
    return float(ndi.map_coordinates(grey, points.T, order=1, mode="constant", cval=0.0).mean())
