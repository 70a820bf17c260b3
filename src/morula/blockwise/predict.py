"""The maps of a volume of any size, block by block; a tile that several blocks need is predicted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, Box
from morula.blockwise.model import BlockModel, Loader
from morula.blockwise.tiles import Tiled
from morula.blockwise.work import Work
from morula.core.types import Array, Volume
from morula.data.ome_zarr import StoredArray

__all__ = ["predict_maps", "predict_scratch", "prediction_grid"]

_SHARED = "shared-tiles"


def prediction_grid(
    model: BlockModel, shape: tuple[int, ...], unit: tuple[int, ...], voxels: int
) -> BlockGrid:
    """The blocks that maps are predicted in.

    Args:
        model: whose maps.
        shape: of the volume.
        unit: what the sink writes at once along z, y and x.
        voxels: of the largest block. Blended tiles take 1 byte a voxel of the block, and 4 a voxel of as many
            sections as a tile has, times the channels; other models work on a block with its halo and all its
            channels at once.
    """
    if isinstance(model.predict, Tiled):
        return BlockGrid.aligned(shape, unit, (0, 0, 0), voxels=voxels)
    return BlockGrid.aligned(shape, unit, model.halo, voxels=voxels // len(model.channels))


def predict_scratch(model: BlockModel, grid: BlockGrid) -> int:
    """Bytes that `predict_maps` keeps until all blocks are predicted, before compression."""
    if not isinstance(model.predict, Tiled):
        return 0
    tiling = model.predict.tiling
    return tiling.shared(grid) * len(model.channels) * prod(tiling.size)


def predict_maps(load: Loader, volume: Volume, sink: Sink, grid: BlockGrid, work: Work) -> None:
    """Predicts every block; each tile goes through the network once.

    Tiles that lie in several blocks are predicted in a step of their own, and kept until all blocks are done.

    Args:
        load: the model.
        volume: what is segmented.
        sink: of the maps `(c, z, y, x)`.
        grid: of the blocks.
        work: where steps are kept; what decides the maps belongs to its parts.
    """
    model = load()
    if not isinstance(model.predict, Tiled) or not model.predict.tiling.shared(grid):
        work.run("predict", _Predict(load, volume, sink, grid), grid)
        return
    tiling = model.predict.tiling
    store = work.pieces(_SHARED, len(tiling), (len(model.channels), *tiling.size), np.uint8)
    work.run("predict-shared-tiles", _PredictShared(load, volume, store, grid), grid)
    work.run("predict", _Predict(load, volume, sink, grid, store), grid)
    work.drop(_SHARED)


@dataclass(frozen=True)
class _Predict:
    """A task: the maps of a block."""

    load: Loader
    volume: Volume
    sink: Sink
    grid: BlockGrid
    store: StoredArray | None = None

    def __call__(self, index: int) -> Mapping[str, Array]:
        box, predict = self.grid.write(index), self.load().predict
        if self.store is None or not isinstance(predict, Tiled):
            maps = predict(self.volume, box)
        else:
            tiles = predict.tiling.tiles(box)
            shared = {predict.tiling.number(each) for each in tiles if _is_shared(each, self.grid)}
            maps = predict(self.volume, box, known=_Kept(self.store, frozenset(shared)))
        self.sink[(slice(None), *box)] = maps
        return {}


@dataclass(frozen=True)
class _PredictShared:
    """A task: the tiles that begin in a block and do not end there."""

    load: Loader
    volume: Volume
    store: StoredArray
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box, predict = self.grid.write(index), self.load().predict
        assert isinstance(predict, Tiled)
        own = [
            each
            for each in predict.tiling.tiles(box)
            if _begins_in(each, box) and _is_shared(each, self.grid)
        ]
        for tile, values in predict.tiling.read(self.volume, own):
            number = predict.tiling.number(tile)
            self.store[(slice(number, number + 1),)] = predict.network(values)[None]
        return {}


@dataclass(frozen=True)
class _Kept(Mapping[int, Array]):
    """Tiles that are read when they are asked for."""

    store: StoredArray
    numbers: frozenset[int]

    def __getitem__(self, number: int) -> Array:
        return self.store[number : number + 1][0]

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __contains__(self, number: object) -> bool:
        return number in self.numbers


def _begins_in(tile: Box, box: Box) -> bool:
    return all(part.start <= each.start < part.stop for each, part in zip(tile, box, strict=True))


def _is_shared(tile: Box, grid: BlockGrid) -> bool:
    return len(list(grid.touching(tile))) > 1
