"""A stack through the network in overlapping tiles, and the neuron in what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil

import numpy as np
import torch
from torch import nn

from morula.core.tree import Tree
from morula.core.types import Array, Segmentation
from morula.post import Tracing, neuron_piece, trace_piece
from morula.recipes.vit3d.network import step_of

__all__ = ["found_neuron", "probability"]

_TILE = (32, 192, 192)
_OVERLAP = (8, 32, 32)
_VIEWS = {1: ((),), 2: ((), (3, 4)), 4: ((), (3,), (4,), (3, 4))}


@torch.inference_mode()
def probability(network: nn.Module, image: Array, device: torch.device, *, views: int = 1) -> Array:
    """The probability of the neuron in every voxel, `(z, y, x)` float32.

    Args:
        network: trained, in evaluation mode.
        image: `(z, y, x)` float32 in [0, 1].
        device: where the network is.
        views: 1, 2 or 4 mirrored predictions that are averaged.
    """
    multiple = step_of(network)
    tile = [min(_TILE[0], image.shape[0])]
    tile += [
        min(ceil(_TILE[axis] / multiple), ceil(image.shape[axis] / multiple)) * multiple for axis in (1, 2)
    ]
    beyond = [(0, max(edge - length, 0)) for edge, length in zip(tile, image.shape, strict=True)]
    padded = np.pad(image, beyond, mode="edge")
    total = np.zeros(padded.shape, np.float32)
    weight = np.zeros(padded.shape, np.float32)
    fade = _fade(tile)
    starts = [_starts(*each) for each in zip(padded.shape, tile, _OVERLAP, strict=True)]
    for corner in product(*starts):
        box = tuple(slice(start, start + edge) for start, edge in zip(corner, tile, strict=True))
        total[box] += _predicted(network, padded[box], device, views) * fade
        weight[box] += fade
    return (total / weight)[tuple(slice(length) for length in image.shape)]


def found_neuron(
    likely: Array, *, root: Sequence[float] | None = None, tracing: Tracing | None = None
) -> Segmentation:
    """The mask and the tree of the neuron in a probability map; no object where there is none.

    Args:
        likely: `(z, y, x)` in [0, 1].
        root: where the neuron begins, z, y, x in voxels.
        tracing: thresholds and lengths.
    """
    piece = neuron_piece(likely, root=root, tracing=tracing)
    tree = trace_piece(piece, likely, root=root, tracing=tracing) if piece.any() else Tree.of([], [])
    count = int(piece.any())
    scores = np.array([likely[piece].mean()] if count else [], np.float64)
    return Segmentation(
        piece.astype(np.uint8), scores, ("neuron",) * count, {"probability": likely}, tree=tree
    )


def _predicted(network: nn.Module, tile: Array, device: torch.device, views: int) -> Array:
    image = torch.from_numpy(np.ascontiguousarray(tile))[None, None].to(device)
    summed = torch.zeros_like(image)
    for axes in _VIEWS[views]:
        summed += network(image.flip(axes)).float().sigmoid().flip(axes)
    return (summed / views)[0, 0].cpu().numpy()


def _starts(length: int, edge: int, overlap: int) -> list[int]:
    """Where tiles begin so that they cover an axis, evenly apart."""
    count = 1 + max(0, ceil((length - edge) / max(edge - overlap, 1)))
    return sorted({round(start) for start in np.linspace(0, length - edge, count)})


def _fade(tile: Sequence[int]) -> Array:
    """Weights that fall to the rim of a tile."""
    ramps = [np.minimum(np.arange(1, edge + 1), np.arange(edge, 0, -1)).astype(np.float32) for edge in tile]
    return ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]
