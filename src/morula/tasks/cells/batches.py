"""Crops for training: geometry, stain and focus vary, so that the network learns shape, not one colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
import torch
from torch import Tensor
from torch.nn import functional as F

from morula.core.rng import Rng
from morula.core.types import Array

__all__ = ["Batch", "crops", "resample", "vary"]


@dataclass(frozen=True)
class Batch:
    """Images `(b, 4, y, x)` and targets `(b, 3, y, x)`: foreground, centre distance, weight."""

    image: Tensor
    target: Tensor


def crops(
    images: Sequence[Array], targets: Sequence[Array], rng: Rng, index: int, *, batch: int, size: int
) -> Batch:
    """Batch `index`.

    Args:
        images: each `(4, y, x)`: density, then three colours.
        targets: each `(3, y, x)`.
        rng: its sample `index` is all the randomness.
        index: of the step.
        batch: number of crops.
        size: edge of a crop in pixels.
    """
    draw = rng.at(index)
    pairs = [_crop(images, targets, draw, size) for _ in range(batch)]
    return Batch(torch.cat([image for image, _ in pairs]), torch.cat([target for _, target in pairs]))


def _crop(
    images: Sequence[Array], targets: Sequence[Array], draw: np.random.Generator, size: int
) -> tuple[Tensor, Tensor]:
    which = int(draw.integers(len(images)))
    image, target = images[which], targets[which]
    edge = min(round(size * np.exp(draw.uniform(-0.3, 0.3))), *image.shape[1:])
    y, x = (draw.integers(length - edge + 1) for length in image.shape[1:])
    turns, mirror = int(draw.integers(4)), draw.random() < 0.5
    parts = []
    for whole in (image, target):
        part = np.rot90(whole[:, y : y + edge, x : x + edge].astype(np.float32), turns, axes=(1, 2))
        parts.append(part[:, :, ::-1] if mirror else part)
    return resample(vary(parts[0], draw), size), resample(parts[1], size)


def vary(image: Array, draw: np.random.Generator) -> Array:
    """Stain strength, hue and background, blur and noise; the density takes part as a channel of its own.

    Args:
        image: `(4, y, x)`: density, then three colours.
        draw: all the randomness.
    """
    gain = draw.uniform(0.7, 1.4) * np.exp(draw.normal(0, 0.12, 3))
    mixing = np.eye(3) + draw.normal(0, 0.06, (3, 3))
    colour = np.einsum("ij,jyx->iyx", mixing, image[1:]) * gain[:, None, None] + draw.normal(
        0, 0.05, (3, 1, 1)
    )
    dense = image[:1] * draw.uniform(0.75, 1.3) + draw.normal(0, 0.05)
    varied = np.concatenate([dense, colour]).astype(np.float32)
    if draw.random() < 0.3:
        varied = ndi.gaussian_filter(varied, (0, *[draw.uniform(0.3, 1.2)] * 2))
    noise = draw.standard_normal(varied.shape, dtype=np.float32)
    return varied + draw.uniform(0, 0.04) * noise


def resample(image: Array, size: int) -> Tensor:
    """`(c, y, x)` at another size, as `(1, c, size, size)`, linearly."""
    tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
    return (
        tensor
        if tensor.shape[-2:] == (size, size)
        else F.interpolate(tensor, size=(size, size), mode="bilinear")
    )
