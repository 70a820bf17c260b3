"""What is told from density maps: sizes of objects, one threshold per stain, what sets have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.ndimage as ndi
from skimage.filters import threshold_otsu

from morula.core.rng import Rng
from morula.core.types import Array, Volume
from morula.data.box import crop
from morula.data.modality import Modality, modality
from morula.post import candidates, choose, regions
from morula.tasks.cells.density import BROWN, density

__all__ = [
    "LEVELS",
    "Prepared",
    "Size",
    "SizePrior",
    "above",
    "common_kinds",
    "estimate_size",
    "fit_sizes",
    "foreground",
    "one_kind",
    "otsu_level",
    "soft_otsu",
    "window",
]

Size = tuple[float, int]  # median diameter in pixels, and how many objects it comes from

_WINDOW = 1024  # pixels; the edge of the part of an image that is trained on
_RADII = tuple(np.geomspace(3.5, 32.0, 9))
LEVELS = np.linspace(0.12, 1.0, 10)  # thresholds of regions, from background to object
_SPREAD_CELL = (200.0, 8000.0)  # pixels; areas that a spread cell in phase contrast may have
_BLUR = 1.5  # pixels; of a density before its threshold
_SOFTNESS = 0.35  # width of the sigmoid around a threshold, over the standard deviation
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
        colour: `(y, x, 3)` float32, optical densities, or three times the density or the relief.
        shape: of the image as it came.
        diameter: of its objects in its own pixels.
        white: of `optical_density`, None where it is to be told from the image.
    """

    modality: Modality
    density: Array
    colour: Array
    shape: tuple[int, int]
    diameter: float
    white: float | None = None

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
    starts = (int(rng.at(index).integers(max(1, length - _WINDOW + 1))) for length in image.spatial_shape)
    box = tuple(slice(start, start + _WINDOW) for start in starts)
    channels = (slice(None),) * image.axes.has_channels
    return np.array(crop(image, (*channels, *box)).read_yxc())  # no view, which would keep the whole alive


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


def soft_otsu(dense: Array, where: Array | None = None) -> Array:
    """Foreground probability from one threshold: a sigmoid around Otsu's, as wide as the contrast.

    Args:
        dense: `(y, x)`, objects bright.
        where: `(y, x)` the pixels from which threshold and contrast are taken; all by default.
    """
    return above(dense, otsu_level(dense, where))


def otsu_level(dense: Array, where: Array | None = None) -> tuple[float, float]:
    """The threshold of `soft_otsu` and its width.

    Args:
        dense: `(y, x)`, objects bright.
        where: `(y, x)` the pixels from which they are taken; all by default.
    """
    smooth = ndi.gaussian_filter(dense, _BLUR)
    seen = smooth if where is None else smooth[where]
    return _otsu(seen), float(np.std(seen)) * _SOFTNESS + 1e-6


def above(dense: Array, level: tuple[float, float]) -> Array:
    """Probability `(y, x)` that a pixel lies above a threshold; 7 pixels at the edges depend on more.

    Args:
        dense: `(y, x)`, objects bright.
        level: threshold and width.
    """
    threshold, width = level
    smooth = ndi.gaussian_filter(dense, _BLUR)
    return 1 / (1 + np.exp(-np.clip((smooth - threshold) / width, -30, 30)))


def _otsu(values: Array) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) > 0 else float(values.max(initial=0)) + 1.0
