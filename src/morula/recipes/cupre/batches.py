"""Crops of labelled and of other images in one batch; objects move from one labelled image into another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from morula.core.rng import Rng
from morula.core.types import Array
from morula.tasks.cells.batches import Batch, resample, vary
from morula.tasks.cells.decode import to_shape

__all__ = ["Crop", "Example", "cut", "mixed_crops", "paste"]

_ZOOM = 0.35  # largest absolute log of the scale of a crop
_CROWDED = 0.2  # share of a pasted object that may fall on objects that are there
_CHOSEN = 0.5  # of the objects of a crop, which go into another one


@dataclass(frozen=True)
class Example:
    """An image as it is learned from.

    Attributes:
        kind: modality; objects are pasted between images of one kind.
        image: `(4, y, x)`: density, then three colours.
        target: `(3, y, x)`: foreground, centre distance, weight.
        labels: `(y, x)` the objects.
    """

    kind: str
    image: Array
    target: Array
    labels: Array


@dataclass(frozen=True)
class Crop:
    """The same part of an example's image, target and labels."""

    image: Array
    target: Array
    labels: Array


def mixed_crops(
    labelled: Sequence[Example],
    others: Sequence[Example],
    rng: Rng,
    index: int,
    *,
    batch: int,
    size: int,
    share: float,
    pasted: float,
) -> Batch:
    """Batch `index`: crops of images without labels first, then of labelled ones.

    Args:
        labelled: what people labelled.
        others: with pseudo labels; may be empty.
        rng: its sample `index` is all the randomness.
        index: of the step.
        batch: number of crops.
        size: edge of a crop in pixels.
        share: of the crops that come from `others`.
        pasted: share of the labelled crops that get objects of another labelled crop.
    """
    draw = rng.at(index)
    count = round(batch * share) if others else 0
    crops = [cut(others[int(draw.integers(len(others)))], draw, size) for _ in range(count)]
    for _ in range(batch - count):
        host = labelled[int(draw.integers(len(labelled)))]
        crop = cut(host, draw, size)
        if draw.random() < pasted:
            alike = [each for each in labelled if each.kind == host.kind]
            crop = paste(crop, cut(alike[int(draw.integers(len(alike)))], draw, size), draw)
        crops.append(crop)
    images = np.stack([vary(crop.image, draw) for crop in crops])
    return Batch(torch.from_numpy(images), torch.from_numpy(np.stack([crop.target for crop in crops])))


def paste(host: Crop, guest: Crop, draw: np.random.Generator) -> Crop:
    """Copies some objects of `guest` to the same places of `host`, where few objects are in their way.

    After Ghiasi et al., "Simple copy-paste", CVPR 2021.
    """
    ids = np.unique(guest.labels[guest.labels > 0])
    chosen = np.zeros(int(guest.labels.max(initial=0)) + 1, dtype=bool)
    chosen[ids[draw.random(len(ids)) < _CHOSEN]] = True
    area = np.maximum(np.bincount(guest.labels.ravel(), minlength=len(chosen)), 1)
    taken = np.bincount(guest.labels[host.labels > 0], minlength=len(chosen)) / area
    chosen &= taken <= _CROWDED
    inside = chosen[guest.labels]
    return Crop(
        np.where(inside, guest.image, host.image),
        np.where(inside, guest.target, host.target),
        np.where(inside, guest.labels + int(host.labels.max(initial=0)), host.labels),
    )


def cut(example: Example, draw: np.random.Generator, size: int) -> Crop:
    """A square part at a random place and scale, turned and mirrored, as `size` pixels."""
    edge = min(round(size * np.exp(draw.uniform(-_ZOOM, _ZOOM))), *example.image.shape[1:])
    y, x = (int(draw.integers(length - edge + 1)) for length in example.image.shape[1:])
    turns, mirror = int(draw.integers(4)), draw.random() < 0.5

    def part(whole: Array) -> Array:
        turned = np.rot90(whole[..., y : y + edge, x : x + edge], turns, axes=(-2, -1))
        return np.ascontiguousarray(turned[..., ::-1] if mirror else turned)

    image, target = (
        resample(part(whole).astype(np.float32), size)[0].numpy() for whole in (example.image, example.target)
    )
    return Crop(image, target, to_shape(part(example.labels), (size, size)))
