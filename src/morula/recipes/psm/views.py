"""Two views of a crop, between which the scalar of the activation network has to agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from morula.core.rng import Rng
from morula.core.types import Array
from morula.tasks.cells.batches import resample, vary

__all__ = ["two_views"]


def two_views(
    images: Sequence[Array], rng: Rng, index: int, *, batch: int, size: int
) -> tuple[Tensor, Tensor]:
    """Two independently varied views of the same crops, for the activation network."""
    draw = rng.at(index)
    first, second = [], []
    for _ in range(batch):
        image = images[int(draw.integers(len(images)))]
        y, x = (draw.integers(max(1, length - size + 1)) for length in image.shape[1:])
        part = image[:, y : y + size, x : x + size].astype(np.float32)
        for views in (first, second):
            turned = np.rot90(part, int(draw.integers(4)), axes=(1, 2))
            views.append(resample(vary(turned, draw), size))
    return torch.cat(first), torch.cat(second)
