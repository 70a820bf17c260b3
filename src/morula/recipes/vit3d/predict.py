"""A stack through the network in overlapping tiles, and the neuron in what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from torch import nn

from morula.blockwise import Tiling
from morula.core.tree import Tree
from morula.core.types import Array, Segmentation
from morula.post import Tracing, neuron_piece, trace_piece
from morula.recipes.vit3d.network import step_of

__all__ = ["found_neuron", "probability"]

_TILE = (32, 192, 192)
_OVERLAP = 0.2
_VIEWS = {1: ((),), 2: ((), (3, 4)), 4: ((), (3,), (4,), (3, 4))}


@torch.inference_mode()
def probability(
    network: nn.Module, image: Array, device: torch.device, *, views: int = 1, crop: Sequence[int] = (1, 1, 1)
) -> Array:
    """The probability of the neuron in every voxel, `(z, y, x)` float32.

    Args:
        network: trained, in evaluation mode.
        image: `(z, y, x)` float32 in [0, 1].
        device: where the network is.
        views: 1, 2 or 4 mirrored predictions that are averaged.
        crop: what the network learned from, z, y, x; tiles are no smaller, for it may know its place there.
    """
    multiple = step_of(network)
    depth, *plane = map(max, _TILE, crop)
    tile = (depth, *(ceil(edge / multiple) * multiple for edge in plane))
    least = 2 * multiple  # a transformer's head pools pairs of patches
    beyond = [(0, 0), *((0, max(least - length, -length % multiple)) for length in image.shape[1:])]
    padded = np.pad(image, beyond, mode="edge")

    def maps(values: Array) -> Array:
        return _predicted(network, values, device, views)[None]

    whole = tuple(slice(0, length) for length in padded.shape)
    found = Tiling(padded.shape, tile, _OVERLAP).predict(maps, padded, whole)[0]
    return found[tuple(slice(length) for length in image.shape)]


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
