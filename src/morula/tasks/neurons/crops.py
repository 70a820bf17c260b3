"""Crops of volumes whose neurons are known, with the affinities that are to be learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from morula.core.affinities import Offset
from morula.core.rng import Rng
from morula.core.types import Array
from morula.targets import affinities, partnered, shape_descriptors, widen_border
from morula.tasks.neurons.augment import recolour, symmetry
from morula.tasks.neurons.block import Dense
from morula.tasks.neurons.settings import Finetune

__all__ = ["Crops", "Labelled", "fitting", "window"]

_EVERY = (2, 4, 4)  # voxels; of scattered labels such a part is enough to say where they are
_LEAST_DEPTH = 16  # voxels; a cube of fewer shows no neuron
_CUBE_SIGMA, _SLAB_SIGMA = (8.0, 8.0, 8.0), (2.0, 8.0, 8.0)  # voxels; 80 nm, as published, in voxels of 10 nm


@dataclass(frozen=True)
class Labelled:
    """A batch, all float32 but the labels.

    Attributes:
        image: `(b, 1, z, y, x)`.
        target: affinities `(b, c, z, y, x)`.
        known: which of these are known, the same shape.
        shapes: shape descriptors `(b, 10, z, y, x)`, 0 where no object is; no channel where none are learned.
        labels: `(b, z, y, x)` int64, those that the affinities are of; 0 = no object, -1 = not labelled.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    shapes: Tensor
    labels: Tensor


class Crops:
    """Draws training batches; batch i depends on the stream and i alone.

    Args:
        parts: where crops come from.
        offsets: of the affinities.
        settings: size, number and augmentation.
        rng: all the randomness.
        isotropic: whether z is an axis like the others.
        chances: how often each part is drawn, None for its share of the voxels.
    """

    def __init__(
        self,
        parts: Sequence[Dense],
        offsets: tuple[Offset, ...],
        settings: Finetune,
        rng: Rng,
        *,
        isotropic: bool,
        chances: Sequence[float] | None = None,
    ) -> None:
        self._parts, self._offsets, self._settings = parts, offsets, settings
        self._rng, self._isotropic = rng, isotropic
        self._widen = settings.widen == "yes" or (settings.widen == "auto" and not isotropic)
        least = np.min([part.labels.shape for part in parts], axis=0)
        self.size = fitting(settings.crop, tuple(map(int, least)), isotropic=isotropic)
        self._around = [_labelled(part.labels) if part.scattered else None for part in parts]
        weights = np.array(chances or [part.labels.size for part in parts], float)
        self._chances = weights / weights.sum()

    def __call__(self, index: int) -> Labelled:
        """Batch `index`."""
        draw = self._rng.at(index)
        crops = [self._crop(draw) for _ in range(self._settings.batch)]
        return Labelled(*(torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True)))

    def _crop(self, draw: np.random.Generator) -> tuple[Array, ...]:
        chosen = int(draw.choice(len(self._parts), p=self._chances)) if len(self._parts) > 1 else 0
        part = self._parts[chosen]
        place = window(draw, part.labels.shape, self.size, self._around[chosen])
        crops = part.image[place], part.labels[place]
        image, labels = symmetry(draw, crops, isotropic=self._isotropic)
        if self._settings.augment == "strong":
            image = recolour(draw, image, isotropic=self._isotropic)
        labels = np.ascontiguousarray(labels)
        wide = widen_border(labels) if self._widen else labels
        target = affinities(wide, self._offsets).values.astype(np.float32)
        known = partnered(self._offsets, labels >= 0).astype(np.float32)
        told = np.where(labels >= 0, wide, -1).astype(np.int64)
        return np.ascontiguousarray(image)[None], target, known, self._shapes(labels), told

    def _shapes(self, labels: Array) -> Array:
        if not self._settings.shapes:
            return np.zeros((0, *labels.shape), np.float32)
        sigma = _CUBE_SIGMA if self._isotropic else _SLAB_SIGMA
        return shape_descriptors(labels, sigma, every=(2, 2, 2) if self._isotropic else (1, 2, 2))


def _labelled(labels: Array) -> Array:
    """Places `(n, 3)` of neurons."""
    z, y, x = _EVERY
    found = np.argwhere(labels[::z, ::y, ::x] > 0) * _EVERY
    return found if len(found) else np.argwhere(labels > 0)


def fitting(crop: tuple[int, int, int], shape: tuple[int, ...], *, isotropic: bool) -> tuple[int, int, int]:
    """The largest crop up to the wanted size that can be turned: a square, where axes are alike a cube.

    Where a cube would be thin for want of depth it stays as wide as it can be; then only its plane is turned.
    """
    z, y, x = (min(size, length) for size, length in zip(crop, shape, strict=True))
    edge = min(y, x)
    if isotropic and (z >= _LEAST_DEPTH or z > edge):
        edge = z = min(z, edge)
    return z, edge, edge


def window(
    draw: np.random.Generator, shape: tuple[int, ...], size: tuple[int, ...], around: Array | None = None
) -> tuple[slice, ...]:
    """A box of this size, z, y, x in voxels, at a random place.

    Args:
        draw: all the randomness.
        shape: that it lies in.
        size: of the box.
        around: `(n, 3)` voxels of which the box holds one; None where it may lie anywhere.

    Raises:
        ValueError: the shape has no room for it.
    """
    room = [length - part for length, part in zip(shape, size, strict=True)]
    if around is None:
        starts = [int(draw.integers(most + 1)) for most in room]
    else:
        at = around[draw.integers(len(around))] - draw.integers(size)
        starts = np.clip(at, 0, room).tolist()
    return tuple(slice(start, start + part) for start, part in zip(starts, size, strict=True))
