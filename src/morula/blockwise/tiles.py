"""Prediction by tiles that are blended; cut into blocks or not, every voxel gets the same value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from morula.blockwise.grid import Box, extent, overlap_of, relative
from morula.core.types import Array, ArraySource

__all__ = ["Tiling"]


@dataclass(frozen=True)
class Tiling:
    """Tiles on one lattice of the whole volume, evenly spread, whose middle counts more than their edge.

    Attributes:
        shape: of the volume.
        tile: of what the network sees at once; an axis that is shorter is taken whole.
        overlap: part of a tile that its neighbour repeats at least, in [0, 1).
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    overlap: float

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"tiles cannot repeat {self.overlap} of each other")

    def tiles(self, box: Box) -> list[Box]:
        """The tiles that touch a box, in the order of the lattice."""
        spans = [
            [slice(start, start + min(tile, size)) for start in _starts(size, tile, self.overlap)]
            for size, tile in zip(self.shape, self.tile, strict=True)
        ]
        kept = [
            [span for span in along if span.start < part.stop and span.stop > part.start]
            for along, part in zip(spans, box, strict=True)
        ]
        return list(product(*kept))

    def predict(self, network: Callable[[Array], Array], source: ArraySource, box: Box) -> Array:
        """The blended prediction of a box.

        Args:
            network: from a tile to maps `(c, *tile)`.
            source: the volume; all tiles that touch the box are read from it.
            box: of the volume.

        Returns:
            `(c, *box)` float32.
        """
        total: Array | None = None
        weights = np.zeros(extent(box), np.float32)
        for tile in self.tiles(box):
            maps = network(np.asarray(source[tile]))
            shared = overlap_of(tile, box)
            here, there = relative(shared, box), relative(shared, tile)
            if total is None:
                total = np.zeros((len(maps), *extent(box)), np.float32)
            weight = _hat(extent(tile))[there]
            total[(slice(None), *here)] += maps[(slice(None), *there)] * weight
            weights[here] += weight
        assert total is not None
        total /= weights
        return total


def _hat(shape: tuple[int, ...]) -> Array:
    """Squared distance to the edge along each axis, multiplied; nowhere 0."""
    found = np.ones(shape, np.float32)
    for axis, size in enumerate(shape):
        side = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)) / size
        found *= (side.astype(np.float32) ** 2).reshape(
            [-1 if axis == each else 1 for each in range(len(shape))]
        )
    return found


def _starts(size: int, tile: int, overlap: float) -> list[int]:
    """Where the tiles begin along an axis: the first where the volume does, the last to end where it does."""
    tile = min(tile, size)
    count = 1 + -(-(size - tile) // max(1, int(tile * (1 - overlap))))
    return np.linspace(0, size - tile, count).round().astype(int).tolist()
