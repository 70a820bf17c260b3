"""Zeros of labels as large as their volume: borders between neurons, or nothing that anybody said."""

from __future__ import annotations

import numpy as np
import pytest

from morula.core.types import Voxel
from morula.data.scattered import told_apart

CUBE, SLAB = Voxel(z=10, y=10, x=10), Voxel(z=40, y=4, x=4)


def dense(shape: tuple[int, int, int]) -> np.ndarray:
    """Four neurons with membranes two voxels wide between them."""
    _, y, x = np.indices(shape)
    half = shape[1] // 2, shape[2] // 2
    labels = 1 + (y >= half[0]) + 2 * (x >= half[1])
    return np.where((abs(y - half[0]) < 1) | (abs(x - half[1]) < 1), 0, labels).astype(np.int32)


@pytest.mark.parametrize("voxel", [CUBE, SLAB, None])
def test_of_two_blocks_far_apart_each_speaks_for_itself(voxel: Voxel | None) -> None:
    block = dense((16, 24, 24))
    labels = np.zeros((48, 96, 96), np.int32)
    labels[:16, :24, :24] = labels[32:, 72:, 72:] = block
    found = told_apart(labels, voxel)
    assert np.array_equal(found[:16, :24, :24], block)
    assert np.array_equal(found[32:, 72:, 72:], block)
    assert (found >= 0).sum() == 2 * block.size
    assert found.dtype == np.int32


def test_gaps_of_dense_labels_are_borders_and_caves_are_not() -> None:
    labels = np.full((40, 90, 90), 3, np.int32)
    labels[:, 20:28] = 0  # 80 nm
    labels[30:32] = 0
    labels[:, 50:, 30:60] = 0
    found = told_apart(labels, CUBE)
    assert (found[:30, 20:28] == 0).all()
    assert (found[30:32] == -1).all()
    assert (found[:30, 50, 30:60] == 0).all()
    assert (found[:, 51:, 31:59] == -1).all()
    assert np.array_equal(found > 0, labels > 0)


def test_a_neuron_alone_has_a_thin_border_that_thick_sections_do_not_share() -> None:
    labels = np.zeros((30, 60, 60), np.int32)
    labels[3:10, 10:30, 10:40] = labels[10:20, 20:45, 10:40] = 5
    cubes, slabs = told_apart(labels, CUBE), told_apart(labels, SLAB)
    assert (cubes[10, 15, 20], slabs[10, 15, 20]) == (0, -1)  # below its step
    assert (cubes[12, 17, 20], slabs[12, 17, 20]) == (-1, 0)  # three pixels beside it, 12 nm at 4 nm
    for found in (cubes, slabs):
        assert (found[12, 19, 10:40] == 0).all()
        assert (found[12, :16] == -1).all() and (found[20:] == -1).all() and (found[:3] == -1).all()


def test_labels_without_zeros_stay() -> None:
    labels = np.arange(1, 1001, dtype=np.int32).reshape(10, 10, 10)
    assert np.array_equal(told_apart(labels, None), labels)
