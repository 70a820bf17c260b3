"""From the network's maps to objects at the image's own scale, each with a class and a score."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.core.types import Array, Segmentation
from morula.data.modality import Modality
from morula.post import basins, drop_small, filled, smooth_outlines
from morula.tasks.cells import front
from morula.tasks.cells.density import BROWN, optical_density
from morula.tasks.cells.front import Prepared
from morula.tasks.cells.pseudo import Pseudo, pseudo_instances
from morula.tasks.cells.scores import object_scores
from morula.tasks.cells.standard import nearest, resized

__all__ = [
    "HALO",
    "LEAST",
    "TILE",
    "Cut",
    "Verdict",
    "classes_of",
    "enlarged",
    "is_positive",
    "judged",
    "level_of",
    "network_maps",
    "objects_in",
    "objects_of_maps",
    "plain_class",
    "segmentation",
    "stained_cut",
    "tile_maps",
    "to_shape",
    "verdict_of",
]

TILE = 1024
"""Pixels of an image at the common scale that a network sees at once; tiles lie on one lattice."""
HALO = 96
"""Pixels around a tile; they cover what a network sees around a pixel."""

_TURNS = ((0, False), (1, False), (2, True), (3, True))
_VOTES: Mapping[Modality, float] = {"fluorescence": 0.5}  # of one threshold in the foreground
LEAST = 4
"""Pixels that an object has at the image's own scale."""
_SMALLEST = 0.15  # of the median object's area
_LEVEL = 0.53  # of a smoothed mask: networks draw stained nuclei a little too wide
_AGREEMENT = 0.65  # IoU of the network's foreground and the pseudo labels' below which the network has failed
_BLACK = 4.2  # mean of the three densities together that haematoxylin alone does not reach


@dataclass(frozen=True)
class Cut:
    """How maps become objects.

    Attributes:
        smoothing: of the centre distance before seeds are sought, in median diameters.
        valley: between two centres, in units of the centre distance.
        rounding: by which outlines are smoothed, in the object's own diameter; 0 = none.
    """

    smoothing: float
    valley: float
    rounding: float


@dataclass(frozen=True)
class Verdict:
    """What is told from an image as a whole before its maps become objects.

    Attributes:
        level: threshold and width of the density, where that has a vote.
        failed: whether the network's foreground is far from that of the pseudo labels.
    """

    level: tuple[float, float] | None
    failed: bool


_STAINED = Cut(smoothing=0.12, valley=0.02, rounding=0.14)  # chromatin is coarse, and so are its outlines
_CUTS: Mapping[Modality, Cut] = {"fluorescence": Cut(smoothing=0.1, valley=0.01, rounding=0.0)}


@torch.no_grad()
def network_maps(
    network: nn.Module, prepared: Prepared, device: torch.device, *, augment: bool
) -> tuple[Array, Array]:
    """Foreground probability and centre distance, `(y, x)` each, at the common scale; in tiles that overlap.

    Args:
        network: in evaluation mode, set up for the wanted precision.
        prepared: the image.
        device: where the network is.
        augment: average over four turned and mirrored copies.
    """
    image = torch.from_numpy(prepared.network_input)
    height, width = prepared.density.shape
    maps = np.empty((2, height, width), dtype=np.float32)
    for top, left in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        y0, x0 = max(top - HALO, 0), max(left - HALO, 0)
        found = tile_maps(network, image[:, y0 : bottom + HALO, x0 : right + HALO], device, augment=augment)
        maps[:, top:bottom, left:right] = found[:, top - y0 :, left - x0 :][:, : bottom - top, : right - left]
    return maps[0], maps[1]


@torch.no_grad()
def tile_maps(network: nn.Module, tile: Tensor, device: torch.device, *, augment: bool) -> Array:
    """Foreground probability and centre distance `(2, y, x)` of a tile with its halo.

    Args:
        network: in evaluation mode, set up for the wanted precision.
        tile: `(4, y, x)` of an image at the common scale.
        device: where the network is.
        augment: average over four turned and mirrored copies.
    """
    return _averaged(network, tile.float()[None].to(device), augment)


def segmentation(
    prepared: Prepared,
    foreground: Array,
    distance: Array,
    diameter: float,
    image: Array,
    verdict: Verdict | None = None,
    cut: Cut | None = None,
) -> Segmentation:
    """Objects by seeded watershed, brought to the image's own scale, with scores and classes.

    On an image that it has not learned, and a mixed data set has some, the network's foreground is far from
    that of the image's own pseudo labels; these are then the answer. In fluorescence, where one threshold of
    the density is a fair judge, it has a vote beside the network, which keeps outlines from shrinking.
    Scores are those of `object_scores`, or the confidence of the pseudo labels.

    Args:
        prepared: the image at the common scale.
        foreground: `(y, x)` probability.
        distance: `(y, x)` centre distance.
        diameter: of the median object at the common scale, in pixels.
        image: `(y, x, c)` as it came.
        verdict: on the image; of a large one it comes from its overview.
        cut: how maps become objects; by default that of the modality.
    """
    pseudo = None
    if verdict is None or verdict.failed:
        verdict, pseudo = _tried(prepared, foreground, diameter, verdict)
    maps = {
        "foreground": to_shape(foreground, prepared.shape),
        "centre distance": to_shape(distance, prepared.shape),
    }
    if pseudo is not None and verdict.failed:
        labels, scores = enlarged(pseudo, prepared.shape)
    else:
        found = objects_of_maps(prepared, foreground, distance, diameter, verdict, cut)
        grown = to_shape(found, prepared.shape)
        size = diameter * prepared.shape[0] / prepared.density.shape[0]
        scores = object_scores(grown, maps["foreground"], maps["centre distance"], size)
        labels = drop_small(grown, LEAST)
        scores = scores[np.bincount(grown.ravel(), minlength=1)[1:] >= LEAST]
    return Segmentation(labels, scores, classes_of(image, labels, prepared.modality, prepared.white), maps)


def objects_of_maps(
    prepared: Prepared,
    foreground: Array,
    distance: Array,
    diameter: float,
    verdict: Verdict,
    cut: Cut | None = None,
) -> Array:
    """Objects at the common scale, `(y, x)` int32, by seeded watershed.

    Args:
        prepared: the image at the common scale.
        foreground: `(y, x)` probability.
        distance: `(y, x)` centre distance.
        diameter: of the median object at the common scale, in pixels.
        verdict: on the image.
        cut: how; by default that of the modality.
    """
    inside = filled(judged(foreground, prepared.density, verdict, prepared.modality) > 0.5)
    return objects_in(inside, distance, diameter, cut or stained_cut(prepared.modality))


def level_of(prepared: Prepared) -> tuple[float, float] | None:
    """Threshold and width of the density of an image as a whole, where that has a vote."""
    return front.otsu_level(prepared.density) if prepared.modality in _VOTES else None


def verdict_of(prepared: Prepared, foreground: Array, diameter: float) -> Verdict:
    """What `segmentation` tells from an image as a whole, or from the overview of a large one.

    Args:
        prepared: the image at the common scale.
        foreground: `(y, x)` probability.
        diameter: of the median object at the common scale, in pixels.
    """
    return _tried(prepared, foreground, diameter, None)[0]


def stained_cut(kind: Modality) -> Cut:
    """How `segmentation` cuts images of a modality."""
    return _CUTS.get(kind, _STAINED)


def classes_of(image: Array, labels: Array, kind: Modality, white: float | None = None) -> tuple[str, ...]:
    """`positive` or `negative` by DAB in immunohistochemistry; `cell` in phase contrast; else `nucleus`.

    DAB is brown, it absorbs blue more than red, haematoxylin the other way round; where it is so dense that
    all three channels are black, the sum of the densities tells.

    Args:
        image: `(y, x, c)`.
        labels: `(y, x)` 1..N.
        kind: modality.
        white: of `optical_density`.
    """
    ids = np.arange(1, int(labels.max(initial=0)) + 1)
    if kind != "IHC":
        return (plain_class(kind),) * len(ids)
    if len(ids) == 0:
        return ()
    density = optical_density(image, white)
    brown = np.asarray(ndi.mean(density[..., 2] - density[..., 0], labels, ids))
    total = np.asarray(ndi.mean(density.sum(axis=-1), labels, ids))
    return tuple("positive" if yes else "negative" for yes in is_positive(brown, total))


def plain_class(kind: Modality) -> str:
    """What the objects of a modality are called, where all are of one class."""
    return "cell" if kind == "phase contrast" else "nucleus"


def is_positive(brown: Array, total: Array) -> Array:
    """Whether DAB stains objects `(n,)`.

    Args:
        brown: mean of the optical density of blue less that of red.
        total: mean of the sum of all three.
    """
    return (brown > BROWN) | (total > _BLACK)


def enlarged(pseudo: Pseudo, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Pseudo labels at the image's own scale, and their confidence."""
    labels = to_shape(pseudo.labels, shape)
    kept = np.unique(labels[labels > 0])
    return drop_small(labels, 1), pseudo.confidence[kept - 1]


def _agreement(found: Array, expected: Array) -> float:
    """IoU of two masks; 1 where both are empty."""
    either = np.count_nonzero(found | expected)
    return np.count_nonzero(found & expected) / either if either else 1.0


def _tried(
    prepared: Prepared, foreground: Array, diameter: float, known: Verdict | None
) -> tuple[Verdict, Pseudo]:
    """The verdict, if it is not known yet, and the pseudo labels that it takes."""
    pseudo = pseudo_instances(prepared, front.foreground(prepared), diameter)
    if known is not None:
        return known, pseudo
    failed = bool(_agreement(foreground > 0.5, pseudo.labels > 0) < _AGREEMENT)
    return Verdict(level_of(prepared), failed), pseudo


def objects_in(inside: Array, distance: Array, diameter: float, cut: Cut) -> Array:
    """Objects of the network's maps by seeded watershed, their outlines smoothed: `(y, x)` int32.

    Args:
        inside: `(y, x)` foreground without holes.
        distance: `(y, x)` centre distance.
        diameter: of the median object in the maps, in pixels.
        cut: how.
    """
    found = basins(
        inside, distance, smoothing=cut.smoothing * diameter, depth=cut.valley,
        smallest=_SMALLEST * np.pi * diameter**2 / 4,
    )  # fmt: skip
    return smooth_outlines(found, cut.rounding, cut.rounding * diameter, level=_LEVEL)


def judged(foreground: Array, density: Array, verdict: Verdict, kind: Modality) -> Array:
    """The network's foreground `(y, x)`, with the vote of one threshold where that has one.

    Args:
        foreground: `(y, x)` probability.
        density: `(y, x)` at the common scale.
        verdict: on the image.
        kind: modality.
    """
    vote = _VOTES.get(kind, 0.0)
    if not vote or verdict.level is None:
        return foreground
    return (1 - vote) * foreground + vote * front.above(density, verdict.level)


def to_shape(image: Array, shape: tuple[int, int]) -> Array:
    """`(y, x)` in another size: labels by the nearest pixel, maps linearly."""
    if image.shape == shape:
        return image
    height, width = shape
    old, box = (image.shape[0], image.shape[1]), (slice(0, height), slice(0, width))
    if np.issubdtype(image.dtype, np.integer):
        y, x = (nearest(size, new, side) for size, new, side in zip(old, shape, box, strict=True))
        return image[y][:, x]
    return resized(image, (0, 0), old, shape, box)


def _averaged(network: nn.Module, image: Tensor, augment: bool) -> Array:
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
    turns = _TURNS if augment else _TURNS[:1]
    total = sum((_turned(network, padded, *turn) for turn in turns), torch.zeros(1, device=image.device))
    return (total / len(turns))[0, :, :height, :width].float().cpu().numpy()


def _turned(network: nn.Module, image: Tensor, turns: int, mirror: bool) -> Tensor:
    view = torch.rot90(image, turns, (2, 3))
    maps = torch.sigmoid(network(view.flip(3) if mirror else view))
    return torch.rot90(maps.flip(3) if mirror else maps, -turns, (2, 3))
