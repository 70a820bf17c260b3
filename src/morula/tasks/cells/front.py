"""From pixels to a density map in which objects are bright, in any modality; and to one common scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.ndimage as ndi
from skimage.filters import threshold_otsu

from morula.core.rng import Rng
from morula.core.types import Array, Volume
from morula.data.modality import Modality, modality
from morula.post import candidates, choose, regions

__all__ = [
    "BROWN",
    "LEVELS",
    "Prepared",
    "Size",
    "SizePrior",
    "common_kinds",
    "density",
    "estimate_size",
    "fit_sizes",
    "foreground",
    "one_kind",
    "optical_density",
    "prepare",
    "soft_otsu",
    "window",
]

Size = tuple[float, int]  # median diameter in pixels, and how many objects it comes from

_WINDOW = 1024  # pixels; the edge of the part of an image that is trained on
_SCALE = (0.35, 2.5)  # an image is not shrunk or enlarged beyond this
_RADII = tuple(np.geomspace(3.5, 32.0, 9))
LEVELS = np.linspace(0.12, 1.0, 10)  # thresholds of regions, from background to object
_SPREAD_CELL = (200.0, 8000.0)  # pixels; areas that a spread cell in phase contrast may have
_DAB_RED = 0.35  # red over blue optical density of DAB (Ruifrok and Johnston, 2001)
BROWN = 0.12  # blue minus red optical density of what DAB colours
_NUCLEUS = 20.0  # pixels; no nucleus is as wide as twice this
_BLUE = 0.1  # share of an image that must not be brown for haematoxylin to have its own threshold
_COMMON = 0.5  # of the images of the most frequent kind
_ONE_KIND = 0.9  # share of the images of a set that must be alike
_SHRINK = 0.6  # objects an image needs, times the spread of sizes, before its own size counts more than half


@dataclass(frozen=True)
class SizePrior:
    """Diameters of the objects of one modality in a data set.

    Attributes:
        log_mean: mean of the log of the images' median diameters in pixels.
        log_variance: their variance.
    """

    log_mean: float
    log_variance: float

    def diameter(self, found: Size | None) -> float:
        """An image's own diameter, drawn to the data set's the more the fewer objects it shows."""
        if found is None:
            return float(np.exp(self.log_mean))
        own, count = found
        weight = count / (count + _SHRINK / max(self.log_variance, 0.02))
        return float(np.exp((1 - weight) * self.log_mean + weight * np.log(own)))


@dataclass(frozen=True)
class Prepared:
    """One image at the common scale.

    Attributes:
        modality: how it was made.
        density: `(y, x)` float32, about 1 from background to object.
        colour: `(y, x, 3)` float32, optical densities or three times the density.
        shape: of the image as it came.
        diameter: of its objects in its own pixels.
    """

    modality: Modality
    density: Array
    colour: Array
    shape: tuple[int, int]
    diameter: float

    @cached_property
    def brown(self) -> Array:
        """`(y, x)` whether DAB colours a pixel or one beside it; nowhere but in immunohistochemistry."""
        if self.modality != "IHC":
            return np.zeros(self.density.shape, dtype=np.bool_)
        smooth = ndi.gaussian_filter(self.colour[..., 2] - self.colour[..., 0], 1.0)
        return np.asarray(ndi.binary_dilation(smooth > BROWN, iterations=3))

    @property
    def network_input(self) -> Array:
        """`(4, y, x)` float16."""
        return np.concatenate([self.density[None], np.moveaxis(self.colour, -1, 0)]).astype(np.float16)


def window(image: Volume, rng: Rng, index: int) -> Array:
    """The image, or a random part of a large one, so that the memory holds all that is trained on."""
    pixels = image.read_yxc()
    y, x = (int(rng.at(index).integers(max(1, length - _WINDOW + 1))) for length in pixels.shape[:2])
    return pixels[y : y + _WINDOW, x : x + _WINDOW]


def optical_density(image: Array) -> Array:
    """Beer-Lambert optical density of an RGB image `(y, x, 3)`, in [0, 3].

    White is 255 in 8 bits. Deeper images rarely use their whole range (12 bits are stored in 16), so that
    there the lightest pixels are white.
    """
    deep = image.dtype != np.uint8
    white = max(float(np.percentile(image, 99.9)), 1e-6) if deep else 255.0
    light = image[..., :3].astype(np.float32) / white
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
    if kind == "IHC":
        stain = optical_density(image)
        brown = _DAB_RED * stain[..., 2] if _is_broad(stain) else 0.0
        raw, high = 1 - np.exp(-3 * np.clip(stain[..., 0] - brown, 0, None)), 97.0
    elif kind == "H&E":
        stain = optical_density(image)
        raw = 1 - np.exp(-2 * (stain[..., 0] - _eosin_share(stain) * stain[..., 1]))
        high = 97.0
    else:
        raw, high = _grey_density(image.astype(np.float32).mean(axis=-1), kind)
    smooth = ndi.gaussian_filter(raw.astype(np.float32), 0.5)
    low, top = np.percentile(ndi.gaussian_filter(smooth, 1.0), [3.0, high])
    return smooth / max(float(top - low), 0.15)


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
    kind = modality(image)
    dense = density(image, kind)
    found = found or estimate_size(dense, kind)
    prior = priors.get(kind) or SizePrior(float(np.log(found[0] if found else diameter)), 0.1)
    own = prior.diameter(found)
    factor = float(np.clip(diameter / own, *_SCALE))
    if abs(factor - 1) < 0.08:
        factor = 1.0
    small = _resize(dense, factor)
    coloured = kind in ("H&E", "IHC")
    stain = optical_density(image) if coloured else None
    colour = (
        np.stack([small] * 3, axis=-1)
        if stain is None
        else np.stack([_resize(stain[..., channel], factor) for channel in range(3)], axis=-1)
    )
    return Prepared(kind, small, colour, (image.shape[0], image.shape[1]), own)


def fit_sizes(images: Sequence[Array]) -> tuple[dict[str, SizePrior], list[Size | None]]:
    """The size prior of each modality in a data set, from confident outlines, without labels.

    Args:
        images: each `(y, x, c)`.

    Returns:
        The priors, and each image's own size.
    """
    kinds: list[Modality] = [modality(image) for image in images]
    found = [estimate_size(density(image, kind), kind) for image, kind in zip(images, kinds, strict=True)]
    priors: dict[str, SizePrior] = {}
    for kind in set(kinds):
        pool = [size for size, other in zip(found, kinds, strict=True) if size is not None and other == kind]
        if pool:
            logs, weight = np.log([size for size, _ in pool]), np.sqrt([count for _, count in pool])
            priors[kind] = SizePrior(float(np.average(logs, weights=weight)), float(np.var(logs)))
    return priors, found


def one_kind(images: Sequence[Prepared]) -> Modality | None:
    """The modality of at least nine in ten images; None where the set is mixed, or empty."""
    kinds: Counter[Modality] = Counter(image.modality for image in images)
    for kind, count in kinds.most_common(1):
        if count >= _ONE_KIND * len(images):
            return kind
    return None


def common_kinds(images: Sequence[Prepared]) -> list[Modality]:
    """The modalities with at least half as many images as the most frequent one, in alphabetical order."""
    kinds: Counter[Modality] = Counter(image.modality for image in images)
    return sorted(kind for kind, count in kinds.items() if count >= _COMMON * max(kinds.values()))


def estimate_size(dense: Array, kind: Modality) -> Size | None:
    """Median diameter in pixels of the confident objects and their number; None where there are none."""
    inside = soft_otsu(dense)
    if kind == "phase contrast":
        levels = (np.percentile(dense, 3) + LEVELS).tolist()
        found = regions(dense, levels, smallest=_SPREAD_CELL[0], largest=_SPREAD_CELL[1])
        shape = found.convexity**2 * found.area**0.6
    else:
        found = candidates(dense, _RADII, smoothing=1.2)
        shape = found.roundness**4 * found.area**0.3
    scores = np.clip(found.edge, 0, None) * shape * np.clip(found.mean_of(inside) - 0.3, 0, None)
    if len(scores) == 0 or scores.max() <= 0:
        return None
    _, chosen = choose(
        found, scores, (dense.shape[0], dense.shape[1]), least=0.25 * scores.max(), overlap=0.2
    )
    return 2 * float(np.sqrt(np.median(found.area[chosen]) / np.pi)), len(chosen)


def foreground(image: Prepared) -> Array:
    """Foreground probability `(y, x)` from one threshold per stain, without clusters or networks.

    Beside DAB, pale haematoxylin is no darker than the background: it has a threshold of its own, found
    where nothing is brown.
    """
    found = soft_otsu(image.density)
    blue = ~image.brown
    if image.brown.any() and blue.mean() > _BLUE:
        found = np.maximum(found, soft_otsu(image.density, blue))
    return found


def soft_otsu(dense: Array, where: Array | None = None, softness: float = 0.35) -> Array:
    """Foreground probability from one threshold: a sigmoid around Otsu's, as wide as the contrast.

    Args:
        dense: `(y, x)`, objects bright.
        where: `(y, x)` the pixels from which threshold and contrast are taken; all by default.
        softness: width of the sigmoid over the standard deviation.
    """
    smooth = ndi.gaussian_filter(dense, 1.5)
    seen = smooth if where is None else smooth[where]
    width = float(np.std(seen)) * softness + 1e-6
    return 1 / (1 + np.exp(-np.clip((smooth - _otsu(seen)) / width, -30, 30)))


def _otsu(values: Array) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) > 0 else float(values.max(initial=0)) + 1.0


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


def _grey_density(grey: Array, kind: Modality) -> tuple[Array, float]:
    if kind == "fluorescence":
        low, high = np.percentile(grey, [5, 99.8])
        return np.sqrt(np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1.2)), 99.0
    if kind == "brightfield":
        white = float(np.percentile(grey, 99))
        return -np.log(np.clip((grey + 1) / (white + 1), 0.02, 1)), 97.0
    flat = grey - ndi.gaussian_filter(grey, 25)
    flat = flat / max(1.4826 * float(np.median(np.abs(flat))), 1e-6)
    texture = np.sqrt(ndi.gaussian_filter((flat - ndi.gaussian_filter(flat, 3)) ** 2, 1.5))
    return np.log1p(texture), 97.0


def _resize(image: Array, factor: float) -> Array:
    if factor == 1.0:
        return image.astype(np.float32)
    target = tuple(max(8, round(size * factor)) for size in image.shape)
    smooth = ndi.gaussian_filter(image, 0.4 / factor) if factor < 1 else image
    zoom = tuple(new / old for new, old in zip(target, image.shape, strict=True))
    return np.asarray(ndi.zoom(smooth, zoom, order=1, grid_mode=True, mode="nearest"), dtype=np.float32)
