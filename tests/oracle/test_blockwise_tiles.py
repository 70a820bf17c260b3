"""Blended tiles are a weighted mean, in any box; those that blocks share go through the network once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks import files_of
from morula.blockwise import (
    BlockGrid,
    BlockModel,
    Tiled,
    Tiling,
    Work,
    as_bytes,
    predict_maps,
    predict_scratch,
    prediction_grid,
)
from morula.core.types import Axes, Volume
from morula.data.ome_zarr import scratch

FEW = settings(max_examples=25, deadline=None)
SIZES = st.integers(1, 16)
OVERLAPS = st.sampled_from([0.0, 0.25, 0.6, 0.8])


def boxes(axes: int):
    return st.tuples(*[st.tuples(*[SIZES] * axes)] * 3)


def whole(shape):
    return tuple(slice(0, size) for size in shape)


def network(tile):
    """Maps in [0, 1] that depend on where in a tile a voxel lies."""
    place = np.linspace(0, 1, tile.size, dtype=np.float32).reshape(tile.shape)
    return np.stack([(tile / 255 + place) / 2, tile / 255 * place, np.full(tile.shape, 0.75)]).astype("f4")


def weight_of(size):
    side = [np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / length for length in size]
    return np.prod(np.meshgrid(*[each**2 for each in side], indexing="ij"), axis=0)


def mean_of_tiles(tiling, values):
    total, weights = np.zeros((3, *tiling.shape)), np.zeros(tiling.shape)
    for tile in tiling.tiles(whole(tiling.shape)):
        total[(slice(None), *tile)] += network(values[tile]) * weight_of(tiling.size)
        weights[tile] += weight_of(tiling.size)
    return total / weights


@FEW
@given(st.integers(2, 3).flatmap(boxes), OVERLAPS, st.integers(0, 2**32))
def test_the_mean_of_tiles_in_any_box(sizes, overlap, seed):
    shape, tile, block = sizes
    tiling, grid = Tiling(shape, tile, overlap), BlockGrid(shape, block, (0,) * len(shape))
    values = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    found = tiling.predict(network, values, whole(shape))
    assert np.allclose(found, mean_of_tiles(tiling, values), atol=1e-5)
    for box in grid:
        assert np.array_equal(tiling.predict(network, values, box), found[(slice(None), *box)])


@FEW
@given(st.integers(2, 3).flatmap(boxes), OVERLAPS)
def test_tiles_are_numbered_and_counted(sizes, overlap):
    shape, tile, block = sizes
    tiling, grid = Tiling(shape, tile, overlap), BlockGrid(shape, block, (0,) * len(shape))
    tiles = tiling.tiles(whole(shape))
    assert [tiling.number(each) for each in tiles] == list(range(len(tiling)))
    assert tiling.shared(grid) == sum(len(list(grid.touching(each))) > 1 for each in tiles)
    covered = np.zeros(shape, int)
    for each in tiles:
        covered[each] += 1
    assert covered.min() >= 1


@dataclass
class Counted:
    """A network in bytes that knows what it was asked; it may die after so many tiles."""

    life: int = -1
    calls: int = field(default=0)

    def __call__(self, tile):
        if self.calls == self.life:
            raise KeyboardInterrupt
        self.calls += 1
        return as_bytes(network(tile))


@dataclass(frozen=True)
class Load:
    tiling: Tiling
    network: Counted

    @cached_property
    def model(self):
        return BlockModel("things", ("a", "b", "c"), (0, 0, 0), Tiled(self.tiling, self.network), no_decode)

    def __call__(self):
        return self.model


def no_decode(*_):
    raise AssertionError


def prediction(folder, values, tiling, grid, counted):
    """The maps by blocks."""
    volume = Volume(values, Axes("zyx"), "here", stamp="1")
    sink = scratch(folder / "maps.zarr", (3, *values.shape), np.uint8, (1, *grid.block))
    predict_maps(Load(tiling, counted), volume, sink, grid, Work(folder / "work", {}))
    return sink[(slice(None), *whole(values.shape))]


@settings(max_examples=8, deadline=None)
@given(boxes(3), OVERLAPS, st.integers(0, 2**32))
def test_each_tile_goes_through_the_network_once(sizes, overlap, seed):
    shape, tile, block = sizes
    tile, block = (tuple(max(4, size) for size in each) for each in (tile, block))
    tiling, grid = Tiling(shape, tile, overlap), BlockGrid(shape, block, (0, 0, 0))
    values = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    counted = Counted()
    with TemporaryDirectory() as folder:
        found = prediction(Path(folder), values, tiling, grid, counted)
    assert counted.calls == len(tiling)
    assert np.array_equal(found, Tiled(tiling, Counted())(values, whole(shape)))
    assert np.abs(found / 255 - mean_of_tiles(tiling, values)).max() < 1.01 / 255


@pytest.mark.parametrize("life", [1, 9, 30])
def test_killed_and_repeated_the_maps_are_byte_for_byte_alike(tmp_path, life):
    shape = (12, 20, 18)
    tiling, grid = Tiling(shape, (6, 8, 7), 0.3), BlockGrid(shape, (6, 10, 9), (0, 0, 0))
    values = np.random.default_rng(life).integers(0, 256, shape).astype(np.uint8)
    prediction(tmp_path / "whole", values, tiling, grid, Counted())
    dead = Counted(life)
    with pytest.raises(KeyboardInterrupt):
        prediction(tmp_path / "killed", values, tiling, grid, dead)
    again = Counted()
    prediction(tmp_path / "killed", values, tiling, grid, again)
    assert dead.calls == life and again.calls <= len(tiling)
    assert files_of(tmp_path / "killed/maps.zarr") == files_of(tmp_path / "whole/maps.zarr")
    left = [path.name for path in (tmp_path / "killed/work").iterdir()]
    assert sorted(left) == ["predict", "predict-shared-tiles"]
    prediction(tmp_path / "killed", values, tiling, grid, done := Counted())
    assert done.calls == 0


def test_blocks_of_tiles_are_larger_and_what_they_share_is_told():
    shape, unit = (500, 2000, 2000), (64, 256, 256)
    tiled = Load(Tiling(shape, (64, 64, 64), 0.25), Counted()).model
    grid = prediction_grid(tiled, shape, unit, 2**24)
    assert grid.block == (256, 256, 256)
    assert predict_scratch(tiled, grid) == tiled.predict.tiling.shared(grid) * 3 * 64**3
    other = BlockModel("things", ("a", "b", "c"), (0, 32, 32), lambda volume, box: volume[box], no_decode)
    assert prod(prediction_grid(other, shape, unit, 2**24).block) <= 2**24 / 3
    assert predict_scratch(other, grid) == 0
