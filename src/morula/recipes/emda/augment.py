"""Varies crops: one geometry for image and label, grey values of the image alone.

Everything works on a batch of numpy arrays and draws from one generator, that of a step, so that a batch
depends on its step alone. A view for a teacher and one for a student share their geometry if `recolour` is
called twice on the same warped images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
import torch
from torch import Tensor
from torch.nn import functional as F

from morula.core.types import Array
from morula.recipes.emda.losses import IGNORE

__all__ = ["PAPER", "Geometry", "Grey", "recolour", "warp"]


@dataclass(frozen=True)
class Geometry:
    """How far shapes may change.

    Attributes:
        flips: mirror along y and x, each half the time.
        turns: rotate by multiples of 90 degrees.
        rotation: largest free rotation in degrees.
        scale: smallest and largest magnification, drawn evenly on a logarithmic scale.
        probability: of free rotation and scale together; else the pixels are exact.
        soft_labels: interpolate labels linearly, as the paper's code does; else they keep their values.
    """

    flips: bool = True
    turns: bool = True
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    probability: float = 1.0
    soft_labels: bool = False


@dataclass(frozen=True)
class Grey:
    """How far grey values in [0, 1] may change; each change happens with its own probability.

    Attributes:
        gamma: largest absolute logarithm of the exponent.
        contrast: largest absolute logarithm of the gain around the mean.
        brightness: largest offset.
        blur: largest standard deviation of a Gaussian blur, in pixels.
        gaussian: largest standard deviation of Gaussian noise.
        cutout: longest edge of up to three flat rectangles, as a part of the image's; labels stay.
        probability: of brightness, contrast and gamma; blur, noise and rectangles have half of it each.
    """

    gamma: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    blur: float = 0.0
    gaussian: float = 0.0
    cutout: float = 0.0
    probability: float = 1.0


PAPER = Geometry(turns=False, rotation=180.0, soft_labels=True)
"""Rotation of +-180 degrees and flips, reflected at the border (Franco-Barranco et al., 2022)."""


def warp(
    images: Array, labels: Array, draw: np.random.Generator, *, size: int, geometry: Geometry
) -> tuple[Array, Array]:
    """The middle of each image and of its label, after the same random geometry.

    What lies outside is reflected; give images larger than `size` (by 1 / the smallest scale) to see true
    surroundings instead.

    Args:
        images: `(b, c, y, x)`.
        labels: `(b, y, x)`: 0, 1 or `IGNORE`; with soft labels also between 0 and 1.
        draw: all the randomness.
        size: edge of the result in pixels.
        geometry: what may happen.

    Returns:
        float32 `(b, c, size, size)`, and `(b, size, size)` of the labels' type, or float32 if they are soft.

    Raises:
        ValueError: an image is smaller than `size`, or the shapes do not go together.
    """
    if images.ndim != 4 or labels.shape != (len(images), *images.shape[2:]):
        found = f"{images.shape} and {labels.shape}"
        raise ValueError(f"images (b, c, y, x) and labels (b, y, x) do not go together: {found}")
    if min(images.shape[2:]) < size:
        found = "{} x {}".format(*images.shape[2:])
        raise ValueError(f"images must be at least {size} pixels wide and high, not {found}")
    pairs = [_warp(image, label, draw, size, geometry) for image, label in zip(images, labels, strict=True)]
    return np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])


def recolour(images: Array, draw: np.random.Generator, grey: Grey) -> Array:
    """The images with other contrast, focus and noise, in [0, 1]; alike in all channels but the noise.

    Args:
        images: `(b, c, y, x)` in [0, 1].
        draw: all the randomness.
        grey: what may happen.

    Returns:
        float32 `(b, c, y, x)`.
    """
    return np.stack([_recolour(image.astype(np.float32), draw, grey) for image in images])


def _warp(
    image: Array, label: Array, draw: np.random.Generator, size: int, geometry: Geometry
) -> tuple[Array, Array]:
    steps = list(_exact(draw, geometry))
    image, label = _apply(image, steps), _apply(label, steps)
    if draw.random() >= geometry.probability:
        image, label = _middle(image, size).astype(np.float32), _middle(label, size)
        return image, label.astype(np.float32) if geometry.soft_labels else label
    grid, scale = _grid(image.shape[1:], size, draw, geometry)
    if scale < 0.8:
        blur = 0.5 * np.sqrt(scale**-2 - 1)
        image = ndi.gaussian_filter(image.astype(np.float32), (0, blur, blur), truncate=2.0)
    warped = _sample(image, grid, "bilinear")
    if not geometry.soft_labels:
        return warped, _sample(label[None], grid, "nearest")[0].astype(label.dtype)
    return warped, _soft(label, grid)


def _exact(draw: np.random.Generator, geometry: Geometry) -> Iterator[tuple[str, int]]:
    if geometry.flips:
        yield from (("flip", axis) for axis in (-2, -1) if draw.random() < 0.5)
    if geometry.turns:
        yield "turn", int(draw.integers(4))


def _apply(array: Array, steps: list[tuple[str, int]]) -> Array:
    for kind, what in steps:
        array = np.flip(array, what) if kind == "flip" else np.rot90(array, what, axes=(-2, -1))
    return np.ascontiguousarray(array)


def _middle(array: Array, size: int) -> Array:
    y, x = ((length - size) // 2 for length in array.shape[-2:])
    return array[..., y : y + size, x : x + size]


def _grid(
    shape: tuple[int, ...], size: int, draw: np.random.Generator, geometry: Geometry
) -> tuple[Tensor, float]:
    """Where each pixel of the result lies in the image, as `(1, size, size, 2)` x and y, and the scale."""
    angle = np.deg2rad(draw.uniform(-geometry.rotation, geometry.rotation))
    scale = float(np.exp(draw.uniform(*np.log(geometry.scale))))
    y, x = np.meshgrid(*[(np.arange(size) - (size - 1) / 2)] * 2, indexing="ij")
    sine, cosine = np.sin(angle) / scale, np.cos(angle) / scale
    along_x, along_y = cosine * x - sine * y, sine * x + cosine * y
    grid = np.stack([along_x * 2 / shape[1], along_y * 2 / shape[0]], axis=-1)
    return torch.from_numpy(grid[None].astype(np.float32)), scale


def _sample(array: Array, grid: Tensor, mode: str) -> Array:
    tensor = torch.from_numpy(array.astype(np.float32))[None]
    return F.grid_sample(tensor, grid, mode, padding_mode="reflection", align_corners=False)[0].numpy()


def _soft(label: Array, grid: Tensor) -> Array:
    """Linear interpolation among pixels that count; `IGNORE` where most of the weight does not."""
    counts = (label <= 1).astype(np.float32)
    both = np.stack([label * counts, counts])
    value, weight = _sample(both, grid, "bilinear")
    mean = (value / np.maximum(weight, 0.5)).clip(0, 1)
    return np.where(weight > 0.5, mean, IGNORE).astype(np.float32)


def _recolour(image: Array, draw: np.random.Generator, grey: Grey) -> Array:
    seldom = grey.probability / 2
    if draw.random() < grey.probability:
        mean, gain = image.mean(), np.exp(draw.uniform(-grey.contrast, grey.contrast))
        image = mean + (image - mean) * gain + draw.uniform(-grey.brightness, grey.brightness)
        image = image.clip(0, 1) ** np.exp(draw.uniform(-grey.gamma, grey.gamma))
    if grey.blur and draw.random() < seldom:
        image = ndi.gaussian_filter(image, (0, *[draw.uniform(0.3, grey.blur)] * 2), truncate=3.0)
    if grey.gaussian and draw.random() < seldom:
        noise = draw.standard_normal(image.shape, dtype=np.float32)
        image = image + draw.uniform(0, grey.gaussian) * noise
    if grey.cutout and draw.random() < seldom:
        image = _cut_out(image, draw, grey.cutout)
    return image.clip(0, 1).astype(np.float32)


def _cut_out(image: Array, draw: np.random.Generator, longest: float) -> Array:
    image = image.copy()
    flat = image.mean(axis=(1, 2), keepdims=True)
    for _ in range(int(draw.integers(1, 4))):
        edges = [max(1, int(draw.uniform(0, longest) * length)) for length in image.shape[1:]]
        y, x = (draw.integers(length - edge + 1) for length, edge in zip(image.shape[1:], edges, strict=True))
        image[:, y : y + edges[0], x : x + edges[1]] = flat
    return image
