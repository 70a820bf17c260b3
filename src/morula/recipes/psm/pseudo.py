"""Stage 4: pseudo masks and instances with a confidence each; stage 6 uses the same rule on better maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array
from morula.data.modality import Modality
from morula.post import candidates, centre_distance, choose, drop_small, regrow, split

__all__ = ["Pseudo", "pseudo_instances", "targets"]

_REACH = (0.45, 0.64, 0.82, 1.09, 1.45, 1.91)  # radii of blobs, in units of the median radius
_LEAST = 0.2  # of the 97th percentile of the scores in the image
_RIM = 3.0  # pixels around an object that count as background in full
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


def pseudo_instances(
    density: Array, foreground: Array, kind: Modality, diameter: float, *, trust: float = 0.0
) -> Pseudo:
    """Objects by edge, roundness, size and foreground; no labels, no training.

    Args:
        density: `(y, x)`, objects bright.
        foreground: `(y, x)` probability.
        kind: modality; cells in phase contrast are not round and are split by distance instead.
        diameter: of the median object, in pixels.
        trust: how much of the map whose edges count is the foreground, the rest is the density.
    """
    if kind == "phase contrast":
        return _blobs(foreground, diameter)
    mixed = (trust * foreground + (1 - trust) * density).astype(np.float32)
    found = candidates(mixed, [0.5 * diameter * reach for reach in _REACH])
    if len(found.area) == 0:
        return Pseudo(np.zeros(density.shape, dtype=np.int32), np.zeros(0))
    size = found.area / (np.pi * diameter**2 / 4)
    scores = np.clip(found.mean_of(foreground) - 0.3, 0, None) * found.roundness**3 * found.edge
    scores = scores * size**0.6 * np.exp(-0.5 * (np.log(size) / _SPREAD) ** 2)
    scores = scores / max(float(np.percentile(scores, 97)), 1e-6)
    shape = (density.shape[0], density.shape[1])
    labels, chosen = choose(found, scores, shape, least=_LEAST)
    return Pseudo(regrow(labels, mixed), np.clip(scores[chosen], 0, 1))


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


def _blobs(foreground: Array, diameter: float) -> Pseudo:
    inside = ndi.binary_opening(foreground > 0.5, iterations=1)
    depth = np.asarray(ndi.distance_transform_edt(inside)) / (0.35 * diameter)
    labels = split(inside.astype(np.float32), depth, smoothing=0.1 * diameter, depth=0.15)
    labels = drop_small(labels, 0.15 * np.pi * diameter**2 / 4)
    count = int(labels.max(initial=0))
    return Pseudo(
        labels, np.asarray(ndi.mean(foreground, labels, np.arange(1, count + 1))) if count else np.zeros(0)
    )
