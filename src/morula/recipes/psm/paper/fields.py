"""What the networks see of an image: RGB of 0-255, its centre or all of it, and which part in which step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from morula.core.rng import Rng
from morula.core.types import Array, Volume
from morula.data.modality import unit_grey

__all__ = ["at_least", "blend", "centre_crop", "draws", "field", "random_window", "rgb", "tiles"]

Window = tuple[slice, slice]


def rgb(image: Array) -> Array:
    """An image as RGB of 0-255, `(y, x, 3)` uint8.

    Colour of 8 bits stays as it is, grey of 8 bits is repeated. Other dtypes are stretched between their
    0.5 % darkest and lightest values (for colour: of all channels together), and any other number of channels
    is averaged; the authors' data are RGB of 8 bits, so this is ours.

    Args:
        image: `(y, x, c)`, any real dtype.

    >>> rgb(np.array([[[0], [9]]], np.uint8)).tolist()
    [[[0, 0, 0], [9, 9, 9]]]
    """
    channels = image.shape[-1]
    if channels == 3 and image.dtype != np.uint8:
        image = image.astype(np.float32)
        low, high = np.percentile(image, [0.5, 99.5])
        image = _levels((image - low) / max(float(high - low), 1e-6))
    elif channels != 3 and (channels > 1 or image.dtype != np.uint8):
        image = _levels(unit_grey(image))[..., None]
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def at_least(image: Array, height: int, width: int) -> Array:
    """The image, reflected at its lower and right borders where it is smaller than `(height, width)`."""
    more = [(0, max(0, wanted - found)) for wanted, found in zip((height, width), image.shape, strict=False)]
    return np.pad(image, [*more, *[(0, 0)] * (image.ndim - 2)], mode="reflect")


def centre_crop(image: Array, size: int) -> Array:
    """The middle `(size, size)` of an image that is large enough.

    >>> centre_crop(np.zeros((1000, 1000)), 512).shape
    (512, 512)
    """
    y, x = ((side - size) // 2 for side in image.shape[:2])
    return image[y : y + size, x : x + size]


def field(volume: Volume, crop: int, *, whole: bool) -> Array:
    """The part of an image that is learnt from, `(y, x, 3)` uint8, no side shorter than `crop`.

    Args:
        volume: a 2D image.
        crop: edge of the centre crop in pixels.
        whole: take the whole image instead.
    """
    image = at_least(rgb(volume.read_yxc()), crop, crop)
    return image if whole else centre_crop(image, crop)


def tiles(shape: tuple[int, ...], size: int, overlap: int = 0) -> list[Window]:
    """Windows of `(size, size)` that cover an image of `shape`, evenly spread and within it.

    >>> [rows.start for rows, columns in tiles((100, 64), 64)]
    [0, 36]
    """
    starts = [_starts(side, size, overlap) for side in shape[:2]]
    return [(slice(y, y + size), slice(x, x + size)) for y in starts[0] for x in starts[1]]


def blend(image: Array, size: int, overlap: int, look: Callable[[Array], Array]) -> Array:
    """Applies `look`, `(size, size, c)` -> `(size, size)`, to tiles of an image; the mean where they overlap.

    Args:
        image: `(y, x, c)`, no side shorter than `size`.
        size: edge of a tile in pixels.
        overlap: pixels that neighbouring tiles share at least.
        look: what is done with a tile.
    """
    total, count = np.zeros(image.shape[:2], np.float32), np.zeros(image.shape[:2], np.float32)
    for window in tiles(image.shape, size, overlap):
        total[window] += look(image[window])
        count[window] += 1
    return total / count


def random_window(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> Window:
    """A random `(size, size)` window of an image of `shape`."""
    y, x = (int(rng.integers(side - size + 1)) for side in shape[:2])
    return slice(y, y + size), slice(x, x + size)


def draws(
    count: int,
    batch: int,
    rng: Rng,
    *,
    epochs: int,
    steps: int | None,
    folds: bool = False,
    fill: bool = False,
) -> list[tuple[int, Sequence[int]]]:
    """Epoch and images of every step: each epoch is a shuffled pass over the images.

    Args:
        count: how many images there are.
        batch: images per step; an epoch's last step may have fewer.
        rng: epoch e is shuffled by `rng.at(e)`.
        epochs: how many passes; only counts where `steps` is None.
        steps: how many steps.
        folds: leave out fold e mod 10 in epoch e as the authors' code does, its folds having n // 10 + 1
            images (so that the last folds are small or empty).
        fill: fill an epoch's last step up with the epoch's first images.

    >>> len(draws(30, 1, Rng(0), epochs=100, steps=None, folds=True))
    2700
    """
    found: list[tuple[int, Sequence[int]]] = []
    epoch = 0
    while epoch < epochs if steps is None else len(found) < steps:
        order = rng.at(epoch).permutation(count)
        if folds and count > count // 10 + 1:
            order = order[order // (count // 10 + 1) != epoch % 10]
        order = np.resize(order, ceil(len(order) / batch) * batch) if fill else order
        found += [(epoch, order[i : i + batch].tolist()) for i in range(0, len(order), batch)]
        epoch += 1
    return found[:steps]


def _starts(side: int, size: int, overlap: int) -> list[int]:
    number = max(1, ceil((side - overlap) / (size - overlap)))
    return [round(start) for start in np.linspace(0, side - size, number)]


def _levels(unit: Array) -> Array:
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
