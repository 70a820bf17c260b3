"""A density map in which objects are bright, in any modality, from a few numbers of the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, Protocol

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array
from morula.data.modality import Modality

__all__ = [
    "BROWN",
    "LARGEST",
    "Plane",
    "Tones",
    "density",
    "measured",
    "optical_density",
    "overview",
    "relief",
    "toned",
]

LARGEST = 2**22
"""Pixels of an image up to which its tones, its size and its thresholds are told from all of it."""

_WINDOW = 512  # pixels; edge of the parts that stand for a larger image
_MARGIN = 8  # pixels around a part that its density depends on
_FLAT = 25.0  # pixels; the background of phase contrast is what is left of this blur
_FLAT_MARGIN = 130
_DAB_RED = 0.35  # red over blue optical density of DAB (Ruifrok and Johnston, 2001)
BROWN = 0.12
"""Blue minus red optical density of what DAB colours."""
_NUCLEUS = 20.0  # pixels; no nucleus is as wide as twice this


class Plane(Protocol):
    """An image `(y, x, c)` that is read when it is sliced by y and x; numpy satisfies it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        ...

    def __getitem__(self, key: Any, /) -> Array:
        """A part."""
        ...


@dataclass(frozen=True)
class Tones:
    """What the density of an image's part depends on beside its pixels.

    Attributes:
        kind: the modality, or `stretched` for grey between a low and a high percentile.
        white: what counts as white in stained tissue.
        off: share of the second stain (of blue in immunohistochemistry, of green beside eosin) that is taken
            off the red one.
        low: grey that is background in fluorescence and where grey is stretched; in bright field a step below
            black, for the logarithm.
        high: how far above it grey is bright, or white; in phase contrast the spread around the background.
        contrast: by which the map is divided, so that a low and a high percentile of it differ by one.
    """

    kind: Modality | Literal["stretched"]
    white: float
    off: float
    low: float
    high: float
    contrast: float

    @property
    def coloured(self) -> bool:
        """Whether the colours of an image are stains."""
        return self.kind in ("H&E", "IHC")

    @property
    def margin(self) -> int:
        """Pixels around a part that its density depends on."""
        return _FLAT_MARGIN if self.kind == "phase contrast" else _MARGIN


def overview(image: Plane) -> Array:
    """The image itself, or windows from all over a large one beside each other.

    An image of more than `LARGEST` pixels is known by windows of 512 pixels on an even lattice, that many
    pixels in all; what is told from them is the same whether the image is then worked on in memory or in
    parts.

    Args:
        image: `(y, x, c)`.
    """
    height, width = image.shape[:2]
    if height * width <= LARGEST:
        return image[:, :]
    rows = min(ceil(height / _WINDOW), max(1, round((LARGEST * height / width) ** 0.5 / _WINDOW)))
    columns = min(ceil(width / _WINDOW), max(1, LARGEST // (_WINDOW**2 * rows)))
    lines = [[image[y, x] for x in _places(width, columns)] for y in _places(height, rows)]
    return np.concatenate([np.concatenate(line, axis=1) for line in lines])


def optical_density(image: Array, white: float | None = None) -> Array:
    """Beer-Lambert optical density of an RGB image `(y, x, 3)`, in [0, 3].

    White is 255 in 8 bits. Deeper images rarely use their whole range (12 bits are stored in 16), so that
    there the lightest pixels are white, if it is not given.
    """
    light = image[..., :3].astype(np.float32) / (_white(image) if white is None else white)
    return np.clip(-np.log(np.clip(light, 1 / 256, 1.0)), 0, 3)


def density(image: Array, kind: Modality) -> Array:
    """Where the objects' substance is: nuclear stain, fluorescence, absorption, or texture in phase contrast.

    Stains are compressed, 1 - exp(-k OD): a pale nucleus and a black one then differ little, and both much
    from the background. Haematoxylin absorbs red and eosin does not, so part of the green density is taken
    off where eosin is in the image. DAB belongs to the nuclei where it is nuclear, and is taken off where it
    fills cytoplasm or membranes.

    Args:
        image: `(y, x, c)`.
        kind: its modality.

    Returns:
        `(y, x)` float32; the difference of a low and a high percentile is 1.
    """
    return measured(image, kind)[1]


def measured(image: Array, kind: Modality | Literal["stretched"]) -> tuple[Tones, Array]:
    """The tones of an image `(y, x, c)`, and its density `(y, x)`."""
    white = _white(image) if kind in ("H&E", "IHC") else 255.0
    off, low, high = 0.0, 0.0, 1.0
    if kind == "IHC":
        off = _DAB_RED if _is_broad(optical_density(image, white)) else 0.0
    elif kind == "H&E":
        off = _eosin_share(optical_density(image, white))
    else:
        low, high = _range(_grey(image), kind, whole=image.dtype.kind != "f")
    smooth = _smooth(image, Tones(kind, white, off, low, high, 1.0))
    if kind == "stretched":
        return Tones(kind, white, off, low, high, 1.0), smooth
    bright = 99.0 if kind == "fluorescence" else 97.0
    bottom, top = np.percentile(ndi.gaussian_filter(smooth, 1.0), [3.0, bright])
    tones = Tones(kind, white, off, low, high, max(float(top - bottom), 0.15))
    return tones, smooth / tones.contrast


def toned(image: Array, tones: Tones) -> Array:
    """The density `(y, x)` float32 of a part of an image; `tones.margin` pixels at its edges depend on more.

    Args:
        image: the part, `(y, x, c)`.
        tones: of the image.
    """
    smooth = _smooth(image, tones)
    return smooth if tones.kind == "stretched" else smooth / tones.contrast


def relief(image: Array, tones: Tones) -> Array:
    """How much brighter or darker than around it a pixel of phase contrast is, `(y, x)` float32 about 0.

    The density says where there is texture. What is bright and what is dark, which tells a halo from a cell,
    is lost there.

    Args:
        image: a part of an image, `(y, x, c)`; `tones.margin` pixels at its edges depend on more.
        tones: of the image.
    """
    return np.arcsinh(_flattened(_grey(image), tones) / 2).astype(np.float32) / 2


def _smooth(image: Array, tones: Tones) -> Array:
    """The density before its contrast is made one."""
    if tones.kind == "stretched":
        return np.clip((_grey(image) - tones.low) / max(tones.high, 1e-6), 0.0, 1.0)
    if tones.coloured:
        stain = optical_density(image, tones.white)
        raw = _stained(stain, tones)
    else:
        raw = _lit(_grey(image), tones)
    return ndi.gaussian_filter(raw.astype(np.float32), 0.5)


def _stained(stain: Array, tones: Tones) -> Array:
    if tones.kind == "IHC":
        return 1 - np.exp(-3 * np.clip(stain[..., 0] - tones.off * stain[..., 2], 0, None))
    return 1 - np.exp(-2 * (stain[..., 0] - tones.off * stain[..., 1]))


def _lit(grey: Array, tones: Tones) -> Array:
    if tones.kind == "fluorescence":
        return np.sqrt(np.clip((grey - tones.low) / max(tones.high, 1e-6), 0, 1.2))
    if tones.kind == "brightfield":
        return -np.log(np.clip((grey - tones.low) / (tones.high - tones.low), 0.02, 1))
    flat = _flattened(grey, tones)
    return np.log1p(np.sqrt(ndi.gaussian_filter((flat - ndi.gaussian_filter(flat, 3)) ** 2, 1.5)))


def _flattened(grey: Array, tones: Tones) -> Array:
    return (grey - ndi.gaussian_filter(grey, _FLAT)) / max(tones.high, 1e-6)


def _range(grey: Array, kind: Modality | Literal["stretched"], *, whole: bool) -> tuple[float, float]:
    """`low` and `high` of `Tones`; `whole` where grey values are whole numbers, from 0."""
    if kind == "fluorescence":
        low, high = np.percentile(grey, [5, 99.8])
        return float(low), float(high - low)
    if kind == "brightfield":
        white, black = float(np.percentile(grey, 99)), 0.0 if whole else min(0.0, float(grey.min()))
        return black - (1.0 if whole else max(white - black, 1e-6) / 255), white
    if kind == "stretched":
        low, high = np.percentile(grey, [0.5, 99.5])
        return float(low), float(high - low)
    return 0.0, 1.4826 * float(np.median(np.abs(grey - ndi.gaussian_filter(grey, _FLAT))))


def _grey(image: Array) -> Array:
    return image.astype(np.float32).mean(axis=-1)


def _white(image: Array) -> float:
    return 255.0 if image.dtype == np.uint8 else max(float(np.percentile(image, 99.9)), 1e-6)


def _places(length: int, count: int) -> list[slice]:
    """Windows along one side, evenly spread."""
    last = max(0, length - _WINDOW)
    starts = np.linspace(0, last, count).astype(int).tolist() if count > 1 else [last // 2]
    return [slice(start, min(start + _WINDOW, length)) for start in starts]


def _eosin_share(stain: Array) -> float:
    """0.3 where eosin covers the tissue, 0 for a single stain: pixels that absorb green far more than red."""
    smooth = ndi.gaussian_filter(stain, (2, 2, 0))
    tissue = smooth.sum(axis=-1) > 0.25
    if not tissue.any():
        return 0.0
    pink = smooth[..., 0][tissue] < 0.45 * (smooth[..., 1][tissue] + 0.05)
    return 0.3 * float(np.clip(pink.mean() / 0.3, 0, 1))


def _is_broad(stain: Array) -> bool:
    """Whether most DAB lies in patches wider than nuclei, so that it marks cytoplasm or membranes."""
    smooth = ndi.gaussian_filter(stain, (1, 1, 0))
    brown = smooth[..., 2] - smooth[..., 0] > BROWN
    wide = np.asarray(ndi.distance_transform_edt(brown)) > _NUCLEUS
    patches = np.asarray(ndi.distance_transform_edt(~wide)) <= _NUCLEUS
    return bool(wide.any() and (patches & brown).sum() > 0.6 * brown.sum())
