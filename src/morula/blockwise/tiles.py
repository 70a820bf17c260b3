"""Prediction by tiles that are blended; cut into blocks or not, every voxel gets the same value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, islice, product
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from morula.blockwise.grid import BlockGrid, Box, extent, overlap_of, relative
from morula.core.types import Array, ArraySource

__all__ = ["Known", "Tiled", "Tiling"]

Known = Mapping[int, Array]
"""The maps of tiles that were predicted before, by their number."""


@dataclass(frozen=True)
class Tiling:
    """Tiles on one lattice of the whole volume, evenly spread, whose middle counts more than their edge.

    The weights of all tiles add up to one in every voxel, so that blending is one sum.

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

    def __len__(self) -> int:
        return prod(len(starts) for starts in self._starts)

    @property
    def size(self) -> tuple[int, ...]:
        """Of every tile."""
        return tuple(map(min, self.tile, self.shape))

    def tiles(self, box: Box) -> list[Box]:
        """The tiles that touch a box, in the order of the lattice."""
        spans = [
            [slice(start, start + size) for start in starts if part.start - size < start < part.stop]
            for starts, size, part in zip(self._starts, self.size, box, strict=True)
        ]
        return list(product(*spans))

    def number(self, tile: Box) -> int:
        """The place of a tile in the order of the lattice."""
        counts = [len(starts) for starts in self._starts]
        return int(np.ravel_multi_index(self._place(tile), counts))

    def shared(self, grid: BlockGrid) -> int:
        """How many tiles lie in more than one block."""
        alone = [
            sum(start // block == (start + size - 1) // block for start in starts)
            for starts, size, block in zip(self._starts, self.size, grid.block, strict=True)
        ]
        return len(self) - prod(alone)

    def predict(self, network: Callable[[Array], Array], source: ArraySource, box: Box) -> Array:
        """The blended prediction of a box.

        Args:
            network: from a tile to maps `(c, *tile)`.
            source: the volume; all tiles that touch the box are read from it.
            box: of the volume.

        Returns:
            `(c, *box)` float32.
        """
        return _whole(self.sweep(network, source, box), box, np.float32, np.copyto)

    def sweep(
        self,
        network: Callable[[Array], Array],
        source: ArraySource,
        box: Box,
        *,
        known: Known = MappingProxyType({}),
    ) -> Iterator[tuple[Box, Array]]:
        """The blended prediction of a box, part by part; what no tile changes any more is not kept.

        Tiles go by in the order of the lattice: in layers along the first axis, in rows along the second. A
        voxel's value is the sum over its rows, added to that of the layers before, whatever the box is.

        Args:
            network: from a tile to maps `(c, *tile)`.
            source: the volume, of two axes or more; tiles that touch the box are read from it.
            box: of the volume.
            known: maps of tiles that need not be predicted again.

        Yields:
            Parts that tile the box, and their maps `(c, *part)` float32, overwritten by the next.
        """
        layers = _runs(self.tiles(box), 0, box)
        sums: _Sums | None = None
        for layer, end in layers:
            maps = self._maps(network, source, layer, known)
            for row, bottom in _runs(layer, 1, box):
                for tile, found in islice(maps, len(row)):
                    if sums is None:
                        sums = _Sums(box, self.size, len(found), layers)
                    part = relative(overlap_of(tile, box), tile)
                    sums.add(tile, found[(slice(None), *part)], self._weight(tile, part))
                assert sums is not None
                yield sums.ready(min(layer[0][0].stop, box[0].stop), end, bottom)
                sums.go_on(min(layer[0][0].stop, box[0].stop), end, bottom)

    def read(self, source: ArraySource, tiles: Sequence[Box]) -> Iterator[tuple[Box, Array]]:
        """The values of tiles in the lattice's order; those that begin in one section are read at once."""
        for _, row in groupby(tiles, lambda tile: tile[0].start):
            together = list(row)
            wide = tuple(
                slice(min(each.start for each in along), max(each.stop for each in along))
                for along in zip(*together, strict=True)
            )
            values = np.asarray(source[wide])
            for tile in together:
                yield tile, values[relative(tile, wide)]

    def _maps(
        self, network: Callable[[Array], Array], source: ArraySource, tiles: Sequence[Box], known: Known
    ) -> Iterator[tuple[Box, Array]]:
        """The maps of tiles, in their order, whether they are known or not."""
        numbers = [self.number(tile) for tile in tiles]
        new = [tile for tile, number in zip(tiles, numbers, strict=True) if number not in known]
        values = self.read(source, new)
        for tile, number in zip(tiles, numbers, strict=True):
            yield tile, known[number] if number in known else network(next(values)[1])

    def _weight(self, tile: Box, part: Box) -> Array:
        """What a part of a tile counts."""
        found = np.ones((), np.float32)
        for shares, place, each in zip(self._shares, self._place(tile), part, strict=True):
            found = np.multiply.outer(found, shares[place, each])
        return found

    def _place(self, tile: Box) -> list[int]:
        return [starts.index(each.start) for starts, each in zip(self._starts, tile, strict=True)]

    @cached_property
    def _starts(self) -> list[list[int]]:
        """Where the tiles begin along each axis."""
        sizes = zip(self.shape, self.size, strict=True)
        return [_starts(size, tile, self.overlap) for size, tile in sizes]

    @cached_property
    def _shares(self) -> list[Array]:
        """`(tiles, voxels)` along each axis: what each voxel of a tile counts there."""
        triples = zip(self.shape, self.size, self._starts, strict=True)
        return [_shares(size, tile, starts) for size, tile, starts in triples]


@dataclass(frozen=True)
class Tiled:
    """Maps in bytes of any box of a volume.

    Each tile is rounded to bytes before it is blended, so that it can be kept for another block.

    Attributes:
        tiling: of the volume.
        network: from the values of a tile to maps `(c, *tile)` uint8.
    """

    tiling: Tiling
    network: Callable[[Array], Array]

    def __call__(self, source: ArraySource, box: Box, *, known: Known = MappingProxyType({})) -> Array:
        """`(c, *box)` uint8, from all tiles that touch the box; `known` as `Tiling.sweep` has it."""
        parts = self.tiling.sweep(self.network, source, box, known=known)
        return _whole(parts, box, np.uint8, _round)


def _round(found: Array, blended: Array) -> None:
    """Means of bytes to bytes, a half downwards as `as_bytes` does; section by section."""
    for maps, values in zip(found, blended, strict=True):
        for section, mean in zip(maps, values, strict=True):
            section[...] = np.ceil(np.subtract(mean, 0.5, out=mean), out=mean)


def _whole(
    parts: Iterator[tuple[Box, Array]], box: Box, dtype: Any, put: Callable[[Array, Array], None]
) -> Array:
    """Parts, each put into its place of one array `(c, *box)`."""
    first = next(parts)
    found = np.empty((len(first[1]), *extent(box)), dtype)
    for place, maps in chain([first], parts):
        put(found[(slice(None), *relative(place, box))], maps)
    return found


class _Sums:
    """What tiles that went by have added up to, where others will add to it."""

    def __init__(
        self, box: Box, tile: tuple[int, ...], channels: int, layers: Sequence[tuple[list[Box], int]]
    ) -> None:
        self._box = box
        self._next = [each.start for each in box]
        self._carried = 0
        depth, height, *across = extent(box)
        kept = max(min(layer[0][0].stop, box[0].stop) - end for layer, end in layers)
        self._row = np.empty((channels, min(tile[0], depth), min(tile[1], height), *across), np.float32)
        self._row.fill(0)  # pages of zeros would be had one by one
        self._layer = np.empty((channels, kept, height, *across), np.float32)
        self._room = np.empty(prod(tile), np.float32)

    def add(self, tile: Box, maps: Array, weight: Array) -> None:
        """Adds what lies in the box of a tile; channel by channel, so that one stays near the processor."""
        corner = tuple(slice(start, each.stop) for start, each in zip(self._next, self._box, strict=True))
        here = relative(overlap_of(tile, self._box), corner)
        weighted = self._room[: weight.size].reshape(weight.shape)
        for sums, values in zip(self._row, maps, strict=True):
            part = sums[here]
            np.add(part, np.multiply(values, weight, out=weighted), out=part)

    def ready(self, stop: int, end: int, bottom: int) -> tuple[Box, Array]:
        """What nothing changes any more when a row of tiles went by.

        Args:
            stop: up to where the layer of the row reaches.
            end: up to where the next layer changes nothing.
            bottom: up to where the next row changes nothing.
        """
        (first, line), top = self._next[:2], self._box[1].start
        lines, summed = slice(line - top, bottom - top), self._row[:, : stop - first, : bottom - line]
        summed[:, : self._carried] += self._layer[:, : self._carried, lines]
        self._layer[:, : stop - end, lines] = summed[:, end - first :]
        return (slice(first, end), slice(line, bottom), *self._box[2:]), summed[:, : end - first]

    def go_on(self, stop: int, end: int, bottom: int) -> None:
        """Makes room for the next row, or for the first one of the next layer."""
        count = bottom - self._next[1]
        for sums in self._row:
            sums[:, : sums.shape[1] - count] = sums[:, count:]
            sums[:, sums.shape[1] - count :] = 0
        self._next[1] = bottom
        if bottom == self._box[1].stop:
            self._next[:2], self._carried = [end, self._box[1].start], stop - end


def _runs(tiles: Sequence[Box], axis: int, box: Box) -> list[tuple[list[Box], int]]:
    """Tiles that begin at one place of an axis, and up to where no later ones reach in the box."""
    found = [list(run) for _, run in groupby(tiles, lambda tile: tile[axis].start)]
    ends = [max(run[0][axis].start, box[axis].start) for run in found[1:]]
    return list(zip(found, [*ends, box[axis].stop], strict=True))


def _shares(size: int, tile: int, starts: Sequence[int]) -> Array:
    """The squared distance to the edge of each tile, divided by the sum over all tiles of a voxel."""
    side = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)) / tile
    summed = np.zeros(size)
    for start in starts:
        summed[start : start + tile] += side**2
    return np.array([side**2 / summed[start : start + tile] for start in starts], np.float32)


def _starts(size: int, tile: int, overlap: float) -> list[int]:
    """Where the tiles begin along an axis: the first where the volume does, the last to end where it does."""
    count = 1 + -(-(size - tile) // max(1, int(tile * (1 - overlap))))
    return np.linspace(0, size - tile, count).round().astype(int).tolist()
