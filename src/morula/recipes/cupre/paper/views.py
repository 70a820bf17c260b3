"""Two views of one place in an image of cells, to be told from views of other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.ndimage as ndi
import torch
from torch import Tensor

from morula.core.rng import Rng
from morula.core.types import Array
from morula.recipes.cupre.paper.images import jitter
from morula.tasks.cells.batches import resample

__all__ = ["Views", "two_views"]

_PLACE = 2.0  # edge of the place over that of a view: both views lie in it
_SCALE = (0.3, 1.0)  # area of a view over that of the place


class Views(NamedTuple):
    """Views `(b, 3, y, x)` for the queries and for the keys, the images they are of, and an order `(b,)`."""

    query: Tensor
    key: Tensor
    images: Tensor
    order: Tensor


def two_views(images: Sequence[Array], rng: Rng, index: int, *, batch: int, size: int) -> Views:
    """Batch `index`.

    Args:
        images: each `(3, y, x)`, normalised.
        rng: its sample `index` is all the randomness.
        index: of the step.
        batch: number of pairs.
        size: edge of a view in pixels.

    Source: the augmentation of Chen et al., arXiv 2003.04297, with turns, contrast and gamma in place of hue.
    """
    draw = rng.at(index)
    chosen = draw.integers(len(images), size=batch)
    pairs: list[tuple[Tensor, Tensor]] = []
    for number in chosen:
        place = _square(images[int(number)], draw, round(_PLACE * size))
        pairs.append((_view(place, draw, size), _view(place, draw, size)))
    query, key = (torch.cat([pair[side] for pair in pairs]) for side in (0, 1))
    return Views(query, key, torch.from_numpy(chosen), torch.from_numpy(draw.permutation(batch)))


def _view(place: Array, draw: np.random.Generator, size: int) -> Tensor:
    edge = min(place.shape[1:]) * float(np.sqrt(draw.uniform(*_SCALE)))
    part = np.rot90(_square(place, draw, max(1, round(edge))), int(draw.integers(4)), axes=(1, 2))
    part = jitter(part[:, :, ::-1] if draw.random() < 0.5 else part, draw)
    if draw.random() < 0.2:
        part = np.repeat(part.mean(axis=0, keepdims=True), 3, axis=0)
    view = resample(part, size)
    if draw.random() < 0.5:
        return torch.from_numpy(ndi.gaussian_filter(view.numpy(), (0, 0, *[draw.uniform(0.1, 2.0)] * 2)))
    return view


def _square(image: Array, draw: np.random.Generator, edge: int) -> Array:
    edge = min(edge, *image.shape[1:])
    y, x = (int(draw.integers(length - edge + 1)) for length in image.shape[1:])
    return image[:, y : y + edge, x : x + edge]
