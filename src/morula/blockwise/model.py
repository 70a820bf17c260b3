"""What a trained model must offer for volumes of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, Box
from morula.blockwise.tiles import Tiled
from morula.blockwise.work import Work
from morula.core.types import Array, ArraySource, Volume

__all__ = ["BlockModel", "Loader", "as_bytes", "sample"]


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
    """

    labels: str
    channels: tuple[str, ...]
    halo: tuple[int, int, int]
    predict: Tiled | Callable[[ArraySource, Box], Array]
    decode: Callable[[ArraySource, Sink, BlockGrid, Work], int]


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


def sample(volume: Volume, voxels: int = 2**20) -> Array:
    """Values from all over a volume, without reading it all: what ranges of grey are told from.

    Args:
        volume: with axes `zyx`.
        voxels: about how many.

    Returns:
        `(n,)`, of the volume's dtype.
    """
    side = max(8, round((voxels / 27) ** (1 / 3)))
    places: Sequence[Sequence[slice]] = [
        [slice(start, start + side) for start in np.linspace(0, max(0, size - side), 3).astype(int).tolist()]
        for size in volume.shape
    ]
    parts = [volume[z, y, x].ravel() for z in places[0] for y in places[1] for x in places[2]]
    return np.concatenate(parts)
