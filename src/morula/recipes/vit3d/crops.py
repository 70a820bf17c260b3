"""Random crops with labels, changed as neurons and microscopes differ."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from morula.core.rng import Rng
from morula.core.types import Array
from morula.recipes.vit3d.stacks import Taught

__all__ = ["Crops", "LabelledCrops"]

_ndi: Any = import_module("scipy.ndimage")

_JITTER = 0.35  # of a crop's edge: how far off its middle the traced point may lie
_BRIGHT = 0.3  # of white: background that a random crop prefers
_DARK = 4096  # voxels that stand for all background where none is bright


class LabelledCrops(NamedTuple):
    """A batch; all `(b, 1, z, y, x)` float32.

    Attributes:
        image: in [0, 1].
        mask: 1 where the neuron is.
        known: 1 where that is known.
        line: 1 on the centre line.
    """

    image: Tensor
    mask: Tensor
    known: Tensor
    line: Tensor


class Crops:
    """Draws batches; batch i depends on the random stream and i alone.

    Args:
        stacks: what to draw from.
        size: of a crop, z, y, x.
        batch: crops in one.
        foreground: share of the crops that lie on the trace.
        clutter: share of the crops into which another one is mixed, dimmed, as background.
        rng: the stream.
    """

    def __init__(
        self,
        stacks: Sequence[Taught],
        size: tuple[int, int, int],
        batch: int,
        *,
        foreground: float,
        clutter: float,
        rng: Rng,
    ) -> None:
        self._stacks, self._size, self._batch = stacks, size, batch
        self._foreground, self._clutter, self._rng = foreground, clutter, rng
        self._points = [stack.points for stack in stacks]
        self._lines = [_line(stack) for stack in stacks]
        self._others = [_bright_background(stack) for stack in stacks]

    def __call__(self, index: int) -> LabelledCrops:
        """The batch of step `index`."""
        rng = self._rng.at(index)
        crops = [self._crop(rng) for _ in range(self._batch)]
        maps = [
            torch.from_numpy(np.stack(each)[:, None].astype(np.float32)) for each in zip(*crops, strict=True)
        ]
        return LabelledCrops(*maps)

    def _crop(self, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        number = int(rng.integers(len(self._stacks)))
        on_trace = rng.random() < self._foreground
        image, mask, known, line = self._cut(number, rng, on_trace)
        image = _exposed(image, rng)
        if rng.random() < self._clutter:
            other = int(rng.integers(len(self._stacks)))
            mixed, *_ = self._cut(other, rng, True)
            image = np.maximum(image, mixed * rng.uniform(0.15, 0.7))
        return _noisy(image, rng), mask, known, line

    def _cut(self, number: int, rng: np.random.Generator, on_trace: bool) -> list[Array]:
        stack = self._stacks[number]
        size = np.array(self._size)
        zoom = np.exp(rng.uniform(-0.25, 0.25))
        wanted = np.maximum(np.round(size * (1, zoom, zoom)), 1).astype(int)
        points = self._points[number] if on_trace else self._others[number]
        middle = points[rng.integers(len(points))] + rng.uniform(-_JITTER, _JITTER, 3) * wanted
        start = np.round(middle - wanted / 2).astype(int)
        start = np.clip(start, 0, np.maximum(np.array(stack.image.shape) - wanted, 0))
        index = [
            np.clip(np.floor((np.arange(n) + 0.5) * w / n).astype(int) + s, 0, length - 1)
            for n, w, s, length in zip(size, wanted, start, stack.image.shape, strict=True)
        ]
        grid = np.ix_(*index)
        maps = (stack.image, stack.mask, stack.known, self._lines[number])
        return _turned([each[grid] for each in maps], rng)


def _turned(maps: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    """All maps under the same one of the sixteen symmetries that keep z."""
    flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
    turn = rng.random() < 0.5 and maps[0].shape[1] == maps[0].shape[2]
    turned = [np.flip(each, flips) for each in maps]
    return [np.ascontiguousarray(each.swapaxes(1, 2) if turn else each) for each in turned]


def _exposed(image: Array, rng: np.random.Generator) -> Array:
    """Another exposure: gamma and brightness."""
    return np.clip(image ** np.exp(rng.uniform(-0.4, 0.4)) * rng.uniform(0.6, 1.3), 0, 1)


def _noisy(image: Array, rng: np.random.Generator) -> Array:
    """Haze, noise that grows with the signal, and at times a blur."""
    if rng.random() < 0.3:
        image = _ndi.gaussian_filter(image, (0, *[rng.uniform(0.3, 1.0)] * 2))
    sigma = rng.uniform(0, 0.1)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    haze = np.float32(rng.uniform(0, 0.15) if rng.random() < 0.3 else 0)
    return np.clip(image + haze + noise * (0.3 + image), 0, 1)


def _line(stack: Taught) -> Array:
    line = np.zeros(stack.image.shape, np.bool_)
    line[tuple(stack.points.T)] = True
    return line


def _bright_background(stack: Taught) -> Array:
    """`(n, 3)` voxels that are known not to be neuron and yet bright, or any such where none is bright.

    Sixteen on the diagonal of the volume are added, whatever they are.
    """
    background = (stack.mask == 0) & stack.known
    found = np.argwhere((stack.image > _BRIGHT) & background)
    if not len(found):
        dark = np.flatnonzero(background)
        some = dark[:: max(1, len(dark) // _DARK)]
        found = np.stack(np.unravel_index(some, background.shape), axis=1)
    everywhere = np.stack([np.arange(16) * (n - 1) // 15 for n in stack.image.shape], axis=1)
    return np.concatenate([found, everywhere])
