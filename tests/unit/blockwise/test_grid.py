"""Blocks tile a volume exactly, fit the chunks they are written to, and read what is around them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morula.blockwise import BlockGrid
from morula.blockwise.grid import extent
from morula.core.errors import UsageError

SIZES = st.tuples(*[st.integers(1, 17)] * 3)
LARGE = st.tuples(*[st.integers(4, 9)] * 3)
MANY = settings(max_examples=40, deadline=None)


@MANY
@given(SIZES, LARGE, st.tuples(*[st.integers(0, 5)] * 3))
def test_every_voxel_is_written_once_and_read_with_its_surroundings(shape, block, halo):
    grid = BlockGrid(shape, block, halo)
    written = np.zeros(shape, int)
    ones = np.random.default_rng(0).random(shape)
    for index, box in enumerate(grid):
        written[box] += 1
        assert np.array_equal(ones[grid.read(index)][grid.inner(index)], ones[box])
        for near, far, more, size in zip(box, grid.read(index), halo, shape, strict=True):
            assert near.start - far.start == min(more, near.start)
            assert far.stop - near.stop == min(more, size - near.stop)
    assert (written == 1).all()
    for index, box in enumerate(grid):
        found = set(grid.touching(grid.read(index)))
        assert index in found
        read = grid.read(index)
        for other, theirs in enumerate(grid):
            meets = all(a.start < b.stop and b.start < a.stop for a, b in zip(read, theirs, strict=True))
            assert meets == (other in found)
        assert list(grid.touching(box)) == [index]


@MANY
@given(SIZES, LARGE, st.tuples(*[st.integers(0, 5)] * 3), st.integers(1, 3000))
def test_blocks_fit_the_sink_and_the_memory(shape, unit, halo, voxels):
    grid = BlockGrid.aligned(shape, unit, halo, voxels=voxels)
    grid.check_alignment(unit)
    largest = max(np.prod(extent(grid.read(index))) for index in range(len(grid)))
    smallest = tuple(min(a, b) for a, b in zip(unit, shape, strict=True))
    assert largest <= voxels or grid.block == smallest


def test_blocks_that_share_a_chunk_are_refused():
    with pytest.raises(UsageError, match="share chunks of 3 x 3 x 3"):
        BlockGrid((9, 9, 9), (4, 9, 9), (0, 0, 0)).check_alignment((3, 3, 3))
    with pytest.raises(ValueError, match="halo"):
        BlockGrid((9, 9), (4, 0), (0, 0))
