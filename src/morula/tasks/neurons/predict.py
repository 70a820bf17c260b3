"""Affinities of a whole volume: tiles that overlap, blended so that no seam is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
from torch import Tensor

from morula.core.affinities import Affinities, Offset
from morula.core.types import Array

__all__ = ["predict_affinities", "tiles"]


def predict_affinities(
    predict: Callable[[Tensor], Tensor],
    image: Array,
    offsets: tuple[Offset, ...],
    *,
    tile: tuple[int, int, int],
    overlap: float,
    device: torch.device,
) -> Affinities:
    """Blends the predictions of overlapping tiles; the middle of a tile counts more than its edge.

    Args:
        predict: volumes `(1, 1, z, y, x)` to logits `(1, c, z, y, x)`.
        image: `(z, y, x)` float32.
        offsets: what the channels are.
        tile: voxels predicted at once.
        overlap: part of a tile that its neighbour repeats, in [0, 1).
        device: where the network is.

    Returns:
        Attractive affinities of the whole volume, float16.
    """
    size = tuple(min(part, length) for part, length in zip(tile, image.shape, strict=True))
    weight = _hat(size)
    total = np.zeros((len(offsets), *image.shape), np.float32)
    weights = np.zeros(image.shape, np.float32)
    with torch.no_grad():
        for place in tiles(image.shape, size, overlap):
            volume = torch.from_numpy(np.ascontiguousarray(image[place]))[None, None].to(device)
            logits = predict(volume)
            total[:, *place] += logits.float().sigmoid()[0].cpu().numpy() * weight
            weights[place] += weight
    total /= weights
    return Affinities(total.astype(np.float16), offsets)


def tiles(shape: tuple[int, ...], size: tuple[int, ...], overlap: float) -> Iterator[tuple[slice, ...]]:
    """Boxes of one size that cover a volume, evenly spread; neighbours share at least `overlap` of a box.

    >>> [place[2] for place in tiles((4, 4, 10), (4, 4, 4), 0.25)]
    [slice(0, 4, None), slice(3, 7, None), slice(6, 10, None)]
    """
    starts: list[list[int]] = []
    for length, part in zip(shape, size, strict=True):
        step = max(1, int(part * (1 - overlap)))
        count = 1 + -(-(length - part) // step)
        starts.append(np.linspace(0, length - part, count).round().astype(int).tolist())
    for corner in product(*starts):
        yield tuple(slice(start, start + part) for start, part in zip(corner, size, strict=True))


def _hat(size: tuple[int, ...]) -> Array:
    """Squared distance to the edge along each axis, multiplied; nowhere 0."""
    sides = [np.minimum(np.arange(1, part + 1), np.arange(part, 0, -1)) / part for part in size]
    z, y, x = (side.astype(np.float32) ** 2 for side in sides)
    return z[:, None, None] * y[:, None] * x
