"""Two views of one crop: the weak one nearly as it was, the strong one with much of it gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from morula.core.rng import Rng
from morula.core.types import Array
from morula.recipes.mscon.config import Pretrain
from morula.tasks.neurons import Unlabelled, recolour, window

__all__ = ["Pair", "Views", "erase"]

_BOX = (0.1, 0.35)  # edge of an erased box, as a share of the crop's
_BOXES = 200  # tries at most


@dataclass(frozen=True)
class Pair:
    """A crop and its views, each `(b, 1, z, y, x)` float32; all three share one geometry."""

    crop: Tensor
    weak: Tensor
    strong: Tensor


class Views:
    """Draws batches of views from whole volumes; batch i depends on the stream and i alone.

    Geometry is drawn once for the crop and both views, so nothing asks the network to undo a turn that it
    cannot know of.

    Args:
        volumes: where crops come from.
        settings: size, number, strength.
        rng: all the randomness.
    """

    def __init__(self, volumes: Unlabelled, settings: Pretrain, rng: Rng) -> None:
        self._volumes, self._settings, self._rng = volumes, settings, rng
        self._size = volumes.size(settings.crop)

    def __call__(self, index: int) -> Pair:
        """Batch `index`."""
        draw = self._rng.at(index)
        triples = [self._views(draw) for _ in range(self._settings.batch)]
        return Pair(*(torch.from_numpy(np.stack(part)[:, None]) for part in zip(*triples, strict=True)))

    def _views(self, draw: np.random.Generator) -> tuple[Array, Array, Array]:
        crop = self._volumes.crop(draw, self._size)
        weak = (crop - 0.5) * draw.uniform(0.9, 1.1) + 0.5 + draw.uniform(-0.05, 0.05)
        strong = erase(draw, recolour(draw, crop, isotropic=self._volumes.isotropic), self._settings.erased)
        return crop, weak.astype(np.float32), strong


def erase(draw: np.random.Generator, image: Array, share: float) -> Array:
    """The image with boxes set to its mean, until this share of it is gone."""
    found, gone = image.copy(), np.zeros(image.shape, bool)
    level = image.mean()
    for _ in range(_BOXES):
        if gone.mean() >= share:
            break
        size = [max(1, round(float(draw.uniform(*_BOX)) * length)) for length in image.shape]
        gone[window(draw, image.shape, tuple(size))] = True
    found[gone] = level
    return found
