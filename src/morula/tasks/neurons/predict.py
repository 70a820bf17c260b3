"""Affinities of a whole volume: tiles that overlap, blended so that no seam is left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from morula.blockwise import Tiling
from morula.core.affinities import Affinities, Offset
from morula.core.types import Array

__all__ = ["predict_affinities"]


@torch.no_grad()
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

    def network(values: Array) -> Array:
        volume = torch.from_numpy(np.ascontiguousarray(values))[None, None].to(device)
        return predict(volume).float().sigmoid()[0].cpu().numpy()

    whole = tuple(slice(0, length) for length in image.shape)
    found = Tiling(image.shape, tile, overlap).predict(network, image, whole)
    return Affinities(found.astype(np.float16), offsets)
