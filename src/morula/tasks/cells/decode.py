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
from morula.post import drop_small, smooth_outlines, split
from morula.tasks.cells import front
from morula.tasks.cells.front import BROWN, Prepared, optical_density
from morula.tasks.cells.pseudo import Pseudo, pseudo_instances

__all__ = ["classes_of", "enlarged", "network_maps", "object_scores", "segmentation", "to_shape"]

_TURNS = ((0, False), (1, False), (2, True), (3, True))
_TILE, _HALO = 1024, 96  # pixels; the halo covers what the network sees around a pixel
_VOTES: Mapping[Modality, float] = {"fluorescence": 0.5}  # of one threshold in the foreground
_SMALLEST = 0.15  # of the median object's area
_LEVEL = 0.53  # of a smoothed mask: networks draw stained nuclei a little too wide
_AGREEMENT = 0.65  # IoU of the network's foreground and the pseudo labels' below which the network has failed
_BLACK = 4.2  # mean of the three densities together that haematoxylin alone does not reach


@dataclass(frozen=True)
class _Cut:
    """How maps become objects.

    Attributes:
        smoothing: of the centre distance before seeds are sought, in median diameters.
        valley: between two centres, in units of the centre distance.
        rounding: by which outlines are smoothed, in the object's own diameter.
    """

    smoothing: float
    valley: float
    rounding: float


_STAINED = _Cut(smoothing=0.12, valley=0.02, rounding=0.14)  # chromatin is coarse, and so are its outlines
_CUTS: Mapping[Modality, _Cut] = {"fluorescence": _Cut(smoothing=0.1, valley=0.01, rounding=0.0)}


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
    for top, left in itertools.product(range(0, height, _TILE), range(0, width, _TILE)):
        bottom, right = min(top + _TILE, height), min(left + _TILE, width)
        y0, x0 = max(top - _HALO, 0), max(left - _HALO, 0)
        part = image[:, y0 : bottom + _HALO, x0 : right + _HALO].float()[None].to(device)
        found = _averaged(network, part, augment)
        maps[:, top:bottom, left:right] = found[:, top - y0 :, left - x0 :][:, : bottom - top, : right - left]
    return maps[0], maps[1]


def segmentation(
    prepared: Prepared, foreground: Array, distance: Array, diameter: float, image: Array
) -> Segmentation:
    """Objects by seeded watershed, brought to the image's own scale, with scores and classes.

    On an image that it has not learned, and a mixed data set has some, the network's foreground is far from
    that of the image's own pseudo labels; these are then the answer. In fluorescence, where one threshold of
    the density is a fair judge, it has a vote beside the network, which keeps outlines from shrinking. A
    score is the object's mean foreground probability, times the height of its centre distance; or the
    confidence of the pseudo label.

    Args:
        prepared: the image at the common scale.
        foreground: `(y, x)` probability.
        distance: `(y, x)` centre distance.
        diameter: of the median object at the common scale, in pixels.
        image: `(y, x, c)` as it came.
    """
    threshold = front.foreground(prepared)
    pseudo = pseudo_instances(prepared, threshold, diameter)
    maps = {
        "foreground": to_shape(foreground, prepared.shape),
        "centre distance": to_shape(distance, prepared.shape),
    }
    if _agreement(foreground > 0.5, pseudo.labels > 0) < _AGREEMENT:
        labels, scores = enlarged(pseudo, prepared.shape)
    else:
        found = _basins(
            _judged(foreground, threshold, prepared.modality), distance, diameter, prepared.modality
        )
        labels = drop_small(to_shape(found, prepared.shape), 4)
        scores = object_scores(labels, maps["foreground"], maps["centre distance"])
    return Segmentation(labels, scores, classes_of(image, labels, prepared.modality), maps)


def classes_of(image: Array, labels: Array, kind: Modality) -> tuple[str, ...]:
    """`positive` or `negative` by DAB in immunohistochemistry; `cell` in phase contrast; else `nucleus`.

    DAB is brown, it absorbs blue more than red, haematoxylin the other way round; where it is so dense that
    all three channels are black, the sum of the densities tells.

    Args:
        image: `(y, x, c)`.
        labels: `(y, x)` 1..N.
        kind: modality.
    """
    ids = np.arange(1, int(labels.max(initial=0)) + 1)
    if kind != "IHC":
        return ("cell" if kind == "phase contrast" else "nucleus",) * len(ids)
    if len(ids) == 0:
        return ()
    density = optical_density(image)
    brown = np.asarray(ndi.mean(density[..., 2] - density[..., 0], labels, ids))
    total = np.asarray(ndi.mean(density.sum(axis=-1), labels, ids))
    return tuple("positive" if yes else "negative" for yes in (brown > BROWN) | (total > _BLACK))


def enlarged(pseudo: Pseudo, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Pseudo labels at the image's own scale, and their confidence."""
    labels = to_shape(pseudo.labels, shape)
    kept = np.unique(labels[labels > 0])
    return drop_small(labels, 1), pseudo.confidence[kept - 1]


def _agreement(found: Array, expected: Array) -> float:
    """IoU of two masks; 1 where both are empty."""
    either = np.count_nonzero(found | expected)
    return np.count_nonzero(found & expected) / either if either else 1.0


def _basins(foreground: Array, distance: Array, diameter: float, kind: Modality) -> Array:
    """Objects of the network's maps by seeded watershed, their outlines smoothed: `(y, x)` int32.

    Args:
        foreground: `(y, x)` probability.
        distance: `(y, x)` centre distance.
        diameter: of the median object in the maps, in pixels.
        kind: modality.
    """
    cut = _CUTS.get(kind, _STAINED)
    found = split(
        foreground, distance, threshold=0.5, smoothing=cut.smoothing * diameter, depth=cut.valley,
        smallest=_SMALLEST * np.pi * diameter**2 / 4,
    )  # fmt: skip
    return smooth_outlines(found, cut.rounding, cut.rounding * diameter, level=_LEVEL)


def _judged(foreground: Array, threshold: Array, kind: Modality) -> Array:
    """The network's foreground, with the vote of one threshold where that has one."""
    vote = _VOTES.get(kind, 0.0)
    return (1 - vote) * foreground + vote * threshold if vote else foreground


def object_scores(labels: Array, inside: Array, height: Array) -> Array:
    """Mean foreground probability of each object 1..N, times the height of its centre distance: `(N,)`.

    Args:
        labels: `(y, x)`.
        inside: `(y, x)` foreground probability.
        height: `(y, x)` centre distance.
    """
    ids = np.arange(1, int(labels.max(initial=0)) + 1)
    if len(ids) == 0:
        return np.zeros(0)
    top = np.clip(np.asarray(ndi.maximum(height, labels, ids)), 0, 1)
    return np.clip(np.asarray(ndi.mean(inside, labels, ids)) * np.sqrt(top), 0, 1)


def to_shape(image: Array, shape: tuple[int, int]) -> Array:
    """`(y, x)` in another size: labels by the nearest pixel, maps linearly."""
    if image.shape == shape:
        return image
    if np.issubdtype(image.dtype, np.integer):
        y, x = (
            ((np.arange(new) + 0.5) * old / new).astype(np.intp)
            for new, old in zip(shape, image.shape, strict=True)
        )
        return image[y][:, x]
    tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None]
    return F.interpolate(tensor, size=shape, mode="bilinear")[0, 0].numpy()


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
