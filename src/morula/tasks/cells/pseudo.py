"""Stage 4: pseudo masks and instances with a confidence each; stage 6 uses the same rule on better maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array
from morula.data.modality import Modality
from morula.post import (
    Candidates,
    candidates,
    centre_distance,
    choose,
    regions,
    regrow,
)
from morula.tasks.cells.front import LEVELS, Prepared

__all__ = ["Pseudo", "pseudo_instances", "targets"]

_REACH = (0.45, 0.64, 0.82, 1.09, 1.45, 1.91)  # radii of blobs, in units of the median radius
_ALONE = 2.0  # what a wholly convex region is worth beside a round contour with the same edge
_HIGH = 97.0  # percentile of the scores in an image with which they are compared
_FLOOR = 0.3  # of that of both stains, where one stain has nothing but weak candidates
_LEAST = 0.2  # of that percentile
_RIM = 3.0  # pixels around an object that count as background in full
_HALO = 0.06  # of the median diameter, by which texture in phase contrast is wider than the cell
_SPREAD = 1.2  # of the log of areas around the size prior


@dataclass(frozen=True)
class Pseudo:
    """Pseudo labels of one image.

    Attributes:
        labels: `(y, x)` int32.
        confidence: `(N,)` in [0, 1].
    """

    labels: Array
    confidence: Array


def pseudo_instances(image: Prepared, foreground: Array, diameter: float, *, trust: float = 0.0) -> Pseudo:
    """Objects by edge, shape, size and foreground; no labels, no training.

    Round contours find what touches, regions of any convex shape what stands alone; the best of both are
    kept. In immunohistochemistry the objects of each stain are compared with their own kind, so that the
    weak edges of haematoxylin do not lose against those of DAB.

    Args:
        image: at the common scale.
        foreground: `(y, x)` probability.
        diameter: of the median object, in pixels.
        trust: how much of the map whose edges count is the foreground, the rest is the density.
    """
    mixed = (trust * foreground + (1 - trust) * image.density).astype(np.float32)
    found, shape = _candidates(mixed, image.modality, diameter)
    if len(found.area) == 0:
        return Pseudo(np.zeros(mixed.shape, dtype=np.int32), np.zeros(0))
    size = 4 * found.area / (np.pi * diameter**2)
    scores = np.clip(found.mean_of(foreground) - 0.3, 0, None) * shape * np.clip(found.edge, 0, None)
    scores = scores * size**0.6 * np.exp(-0.5 * (np.log(size) / _SPREAD) ** 2)
    scores = _compared(scores, found.mean_of(image.brown) > 0.5)
    labels, chosen = choose(found, scores, (mixed.shape[0], mixed.shape[1]), least=_LEAST)
    confidence = np.clip(scores[chosen], 0, 1)
    if image.modality == "phase contrast":
        return _shrunk(labels, confidence, _HALO * diameter)
    return Pseudo(regrow(labels, mixed), confidence)


def _compared(scores: Array, brown: Array) -> Array:
    """Scores over a high one of the same stain, or over part of a high one of all where that is more."""
    usual = float(np.percentile(scores, _HIGH))
    relative = np.zeros_like(scores)
    for stain in (brown, ~brown):
        if stain.any():
            high = max(float(np.percentile(scores[stain], _HIGH)), _FLOOR * usual, 1e-6)
            relative[stain] = scores[stain] / high
    return relative


def targets(pseudo: Pseudo, foreground: Array) -> Array:
    """What the network learns: `(3, y, x)` float16 foreground, centre distance, weight.

    Objects weigh by their confidence; pixels that look like foreground but belong to no object weigh little,
    except beside an object: without that rim, outlines grow from round to round.
    """
    trust = np.concatenate([[0.0], 0.4 + 0.6 * pseudo.confidence])
    rim = np.asarray(ndi.distance_transform_edt(pseudo.labels == 0)) <= _RIM
    outside = np.where((foreground > 0.5) & ~rim, 0.15, 1.0)
    weight = np.where(pseudo.labels > 0, trust[pseudo.labels], outside)
    return np.stack([pseudo.labels > 0, centre_distance(pseudo.labels), weight]).astype(np.float16)


def _candidates(mixed: Array, kind: Modality, diameter: float) -> tuple[Candidates, Array]:
    """Outlines that may be objects, and what the shape of each is worth."""
    disc = np.pi * diameter**2 / 4
    levels = (np.percentile(mixed, 3) + LEVELS).tolist()
    lone_ones = regions(mixed, levels, smallest=max(20.0, 0.12 * disc), largest=6 * disc)
    if kind == "phase contrast":  # spread cells have arms, and no round ones among them
        return lone_ones, lone_ones.convexity**2
    round_ones = candidates(mixed, [0.5 * diameter * reach for reach in _REACH])
    shape = np.concatenate([round_ones.roundness**3, _ALONE * lone_ones.convexity**6])
    return Candidates.join([round_ones, lone_ones]), shape


def _shrunk(labels: Array, confidence: Array, width: float) -> Pseudo:
    """Objects without a rim of `width` pixels, over which texture reaches beyond the cell."""
    free = labels == 0
    edges = (ndi.maximum_filter(labels, 3) != labels) & ~free
    depth = np.asarray(ndi.distance_transform_edt(~(free | edges)))
    inner = np.where(depth >= width, labels, 0)
    kept = np.unique(inner[inner > 0])
    return Pseudo(np.searchsorted(kept, inner).astype(np.int32) + (inner > 0), confidence[kept - 1])
