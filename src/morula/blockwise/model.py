"""What a trained model must offer for volumes of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Protocol

import numpy as np

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, Box
from morula.blockwise.tiles import Tiled
from morula.blockwise.work import Work
from morula.core.types import Array, ArraySource

__all__ = ["BlockModel", "Loader", "Scoring", "as_bytes", "sample"]


@dataclass(frozen=True)
class Scoring:
    """How sure a model is of what it finds.

    Attributes:
        name: of an object, its class.
        sure: of each voxel of a box, from the maps of the whole volume, `(z, y, x)` in [0, 1]; the score of
            an object is the mean over it.
    """

    name: str
    sure: Callable[[ArraySource, Box], Array]


@dataclass(frozen=True)
class BlockModel:
    """A trained model for blocks.

    Attributes:
        labels: name of what it finds, for the labels it writes.
        channels: name of each map.
        halo: voxels beyond a box that its maps depend on, z, y, x.
        predict: maps `(c, *box)` uint8 of a box of the volume; what lies around is read as it is needed.
            Blended tiles that two boxes need are predicted once where it is a `Tiled`.
        decode: maps of the whole volume to labels; how many objects there are.
        scoring: of the objects; None where they get no score by blocks.
    """

    labels: str
    channels: tuple[str, ...]
    halo: tuple[int, int, int]
    predict: Tiled | Callable[[ArraySource, Box], Array]
    decode: Callable[[ArraySource, Sink, BlockGrid, Work], int]
    scoring: Scoring | None = None


class Loader(Protocol):
    """Loads a model in the process that needs it; picklable, and loads once a process."""

    def __call__(self) -> BlockModel:
        """The model."""
        ...


def as_bytes(probability: Array) -> Array:
    """Probabilities as uint8; above a half and above 127 are the same voxels.

    >>> as_bytes(np.array([0.0, 0.5, 0.5001, 1.0])).tolist()
    [0, 127, 128, 255]
    """
    scaled = probability * 255
    scaled -= 0.5
    return np.clip(np.ceil(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


_WINDOWS = 9  # along each axis
_WHOLE = 2**26  # voxels of a volume that is read whole


def sample(volume: ArraySource, voxels: int = 2**22) -> Array:
    """Values from all over a volume: what ranges of grey are told from, in training and in prediction.

    Of a small volume every so manyth, of a large one small windows on an even lattice, not to read it all.

    Args:
        volume: of any number of axes.
        voxels: about how many.

    Returns:
        `(n,)`, of the volume's dtype.
    """
    if prod(volume.shape) <= _WHOLE:
        values = np.asarray(volume[(slice(None),) * len(volume.shape)]).ravel()
        return values[:: max(1, values.size // voxels)]
    side = max(8, round(voxels ** (1 / 3) / _WINDOWS))
    places: Sequence[Sequence[slice]] = [
        [
            slice(start, start + side)
            for start in np.linspace(0, max(0, size - side), _WINDOWS).astype(int).tolist()
        ]
        for size in volume.shape
    ]
    return np.concatenate([np.asarray(volume[box]).ravel() for box in product(*places)])
