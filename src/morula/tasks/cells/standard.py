"""How an image is brought to the common look and size: told once from the whole, then done part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array, Volume
from morula.data.modality import Modality, modality
from morula.tasks.cells.density import Plane, Tones, measured, optical_density, overview, relief, toned
from morula.tasks.cells.front import Prepared, Size, SizePrior, estimate_size

__all__ = [
    "Box",
    "Pixels",
    "Standard",
    "middles",
    "nearest",
    "prepare",
    "resized",
    "standard_of",
    "stretched",
    "zoom",
]

Box = tuple[slice, slice]
"""Slices with step 1 over y and x."""

_SCALE = (0.35, 2.5)  # an image is not shrunk or enlarged beyond this
_SAME = 0.08  # change of scale that is not worth it
_LEAST = 8  # pixels of a side
_MOST = 60_000_000  # pixels at the common scale that are learned from; each takes some 32 bytes


@dataclass(frozen=True)
class Pixels:
    """A 2D image of any size as `(y, x, c)`.

    Attributes:
        volume: with axes `yx` or `cyx`.
    """

    volume: Volume

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width = self.volume.spatial_shape
        return height, width, len(self.volume.channels)

    def __getitem__(self, key: Box) -> Array:
        part = self.volume[(..., *key)]
        return np.moveaxis(part, 0, -1) if self.volume.axes.has_channels else part[..., None]


@dataclass(frozen=True)
class Standard:
    """What is told from an image as a whole.

    Attributes:
        modality: how it was made.
        tones: of its density.
        shape: y, x in pixels.
        factor: by which it is enlarged.
        diameter: of its objects in its own pixels.
        signed: whether the colours of phase contrast are its `relief`, for a network that learns from labels;
            else they are the density, as wherever else an image is grey.
    """

    modality: Modality
    tones: Tones
    shape: tuple[int, int]
    factor: float
    diameter: float
    signed: bool = False

    @property
    def _smoothing(self) -> float:
        """Of what is made smaller, in pixels."""
        return 0.4 / self.factor if self.factor < 1 else 0.0

    @property
    def common(self) -> tuple[int, int]:
        """Its size at the common scale."""
        if self.factor == 1.0:
            return self.shape
        height, width = (max(_LEAST, round(size * self.factor)) for size in self.shape)
        return height, width

    def of(self, shape: tuple[int, ...]) -> Standard:
        """The same for an image of another size."""
        return replace(self, shape=(shape[0], shape[1]))

    def whole(self, image: Plane) -> Prepared:
        """All of the image at the common scale."""
        height, width = self.common
        return self.part(image, (slice(0, height), slice(0, width)))

    def from_afar(self, image: Plane) -> Prepared:
        """What is told of an image of any size as a whole: its `overview` at the common scale."""
        far = overview(image)
        return self.of(far.shape).whole(far)

    def part(self, image: Plane, box: Box) -> Prepared:
        """What lies in a box at the common scale, equal to that part of `whole`; little more is read.

        Args:
            image: `(y, x, c)`.
            box: at the common scale.
        """
        margin = self.tones.margin + int(4 * self._smoothing + 0.5) + 2
        read = tuple(
            _source(each, old, new, margin)
            for each, old, new in zip(box, self.shape, self.common, strict=True)
        )
        pixels = image[read]
        start = (read[0].start, read[1].start)
        small = self._resized(toned(pixels, self.tones), start, box)
        channels, white = [small] * 3, None
        if self.tones.coloured:
            stain, white = optical_density(pixels, self.tones.white), self.tones.white
            channels = [self._resized(stain[..., channel], start, box) for channel in range(3)]
        elif self.signed and self.tones.kind == "phase contrast":
            channels = [self._resized(relief(pixels, self.tones), start, box)] * 3
        return Prepared(self.modality, small, np.stack(channels, axis=-1), self.shape, self.diameter, white)

    def _resized(self, part: Array, start: tuple[int, int], box: Box) -> Array:
        smooth = ndi.gaussian_filter(part, self._smoothing) if self._smoothing else part
        return resized(smooth, start, self.shape, self.common, box)


def prepare(
    image: Array, priors: Mapping[str, SizePrior], diameter: float, found: Size | None = None
) -> Prepared:
    """Density and colour, rescaled so that the median object has `diameter` pixels across.

    Args:
        image: `(y, x, c)`.
        priors: sizes by modality; an unknown modality uses the image's own size.
        diameter: wanted, in pixels.
        found: the image's own size, where it is known already.
    """
    return standard_of(image, priors, diameter, found).whole(image)


def standard_of(
    image: Plane,
    priors: Mapping[str, SizePrior],
    diameter: float,
    found: Size | None = None,
    *,
    correction: float = 1.0,
) -> Standard:
    """The same for an image of any size, told from its `overview`.

    Args:
        image: `(y, x, c)`.
        priors: sizes by modality; an unknown modality uses the image's own size.
        diameter: wanted, in pixels.
        found: the image's own size, where it is known already.
        correction: of its size where that is not known, but estimated.
    """
    seen = overview(image)
    kind = modality(seen)
    tones, dense = measured(seen, kind)
    if found is None and (estimate := estimate_size(dense, kind)):
        found = estimate[0] * correction, estimate[1]
    prior = priors.get(kind) or SizePrior(float(np.log(found[0] if found else diameter)), 0.1)
    own = prior.diameter(found)
    return Standard(kind, tones, (image.shape[0], image.shape[1]), zoom(own, diameter), own)


def middles(
    images: Sequence[Array], sizes: Sequence[Size | None], diameter: float, *, most: int = _MOST
) -> list[Array]:
    """The images `(y, x, c)`, or the middle of each where all would not fit into memory at the common scale.

    Args:
        images: each `(y, x, c)`.
        sizes: of the objects of each image, where it is known.
        diameter: wanted, in pixels.
        most: pixels at the common scale, about.
    """
    own = [diameter if size is None else size[0] for size in sizes]
    zooms = [zoom(each, diameter) for each in own]
    total = sum(each.shape[0] * each.shape[1] * factor**2 for each, factor in zip(images, zooms, strict=True))
    share = min(1.0, (most / max(total, 1)) ** 0.5)
    return [each[_middle(each.shape[0], share), _middle(each.shape[1], share)] for each in images]


def _middle(length: int, share: float) -> slice:
    kept = max(min(length, _LEAST), int(length * share))
    return slice((length - kept) // 2, (length + kept) // 2)


def zoom(own: float, wanted: float) -> float:
    """By what an image is enlarged to have objects as wide as wanted; within limits, 1 where nearly so.

    >>> zoom(11.0, 22.0), zoom(21.0, 22.0), zoom(220.0, 22.0)
    (2.0, 1.0, 0.35)
    """
    factor = float(np.clip(wanted / own, *_SCALE))
    return 1.0 if abs(factor - 1) < _SAME else factor


def stretched(image: Plane, diameter: float) -> Standard:
    """An image at its own size, its grey stretched between two percentiles and nothing else.

    Args:
        image: `(y, x, c)`.
        diameter: of its objects in pixels.
    """
    seen = overview(image)
    tones, _ = measured(seen, "stretched")
    return Standard(modality(seen), tones, (image.shape[0], image.shape[1]), 1.0, diameter)


def resized(
    part: Array, start: tuple[int, int], old: tuple[int, int], new: tuple[int, int], box: Box
) -> Array:
    """A box of an image in another size, linearly, from the part of the image that it lies in.

    Every pixel is computed from its place in the whole, so that parts fit together exactly.

    Args:
        part: `(y, x)` of the image.
        start: y, x of its first pixel.
        old: size of the image.
        new: size that the image gets.
        box: of the image in its new size.

    Returns:
        `(y, x)` float32.

    >>> resized(np.array([[0.0, 1.0]]), (0, 0), (1, 2), (1, 4), (slice(0, 1), slice(1, 3))).tolist()
    [[0.25, 0.75]]
    """
    if old == new:
        y, x = (slice(each.start - first, each.stop - first) for each, first in zip(box, start, strict=True))
        return part[y, x].astype(np.float32)
    for axis in (0, 1):
        place = np.clip(_centres(box[axis], old[axis], new[axis]), 0, old[axis] - 1)
        low = np.floor(place).astype(np.intp)
        share = (place - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, old[axis] - 1) - start[axis]
        below, above = (np.take(part, each, axis).astype(np.float64) for each in (low - start[axis], high))
        part = below * (1 - share) + above * share
    return part.astype(np.float32)


def nearest(old: int, new: int, span: slice) -> Array:
    """The nearest pixels along an axis of `old` for those of `span` when it is brought to `new`.

    >>> nearest(2, 4, slice(0, 4)).tolist()
    [0, 0, 1, 1]
    """
    return ((np.arange(span.start, span.stop) + 0.5) * old / new).astype(np.intp)


def _centres(span: slice, old: int, new: int) -> Array:
    return (np.arange(span.start, span.stop) + 0.5) * (old / new) - 0.5


def _source(span: slice, old: int, new: int, margin: int) -> slice:
    """What the pixels of a span are made of, along one axis."""
    first, last = (
        int(np.floor(_centres(slice(at, at + 1), old, new)[0])) for at in (span.start, span.stop - 1)
    )
    return slice(max(first - margin, 0), min(last + 2 + margin, old))
