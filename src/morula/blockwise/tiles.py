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
    """Tiles on one lattice of the whole volume, each weighted down towards its faces.

    Attributes:
        shape: of the volume.
        tile: of what the network sees at once; an axis that is shorter is taken whole.
        overlap: of neighbouring tiles, at least.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    overlap: tuple[int, ...]

    def __post_init__(self) -> None:
        if any(not 0 <= more < size for more, size in zip(self.overlap, self.tile, strict=True)):
            raise ValueError(f"tiles {self.tile} cannot overlap by {self.overlap}")

    def tiles(self, box: Box) -> list[Box]:
        """The tiles that touch a box, in the order of the lattice."""
        spans = [
            [slice(start, start + min(tile, size)) for start in _starts(size, tile, more)]
            for size, tile, more in zip(self.shape, self.tile, self.overlap, strict=True)
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
            weight = self._weight(extent(tile))[there]
            total[(slice(None), *here)] += maps[(slice(None), *there)] * weight
            weights[here] += weight
        assert total is not None
        return total / weights

    def _weight(self, shape: tuple[int, ...]) -> Array:
        found = np.ones(shape, np.float32)
        for axis, (size, more) in enumerate(zip(shape, self.overlap, strict=True)):
            place = np.arange(size, dtype=np.float32) + 0.5
            ramp = np.minimum(np.minimum(place, size - place) / max(more, 0.5), 1)
            found *= ramp.reshape([-1 if axis == other else 1 for other in range(len(shape))])
        return found


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where the tiles begin along an axis: evenly, the last one ends where the volume does."""
    if size <= tile:
        return [0]
    return [*range(0, size - tile, tile - overlap), size - tile]
