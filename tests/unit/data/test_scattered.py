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
    labels[:, 20:40] = 0  # a wide gap, two sections without labels and a cave
    labels[30:32] = 0
    labels[:, 50:, 30:60] = 0
    found = told_apart(labels, CUBE)
    assert (found[:30, 20:40] == 0).all()
    assert (found[30:32] == -1).all()
    assert (found[:30, 54:, 34:56] == -1).all()
    assert (found[:30, 50:53, 30:60] == 0).all()
    assert np.array_equal(found > 0, labels > 0)


def test_a_neuron_alone_has_a_thin_border_that_thick_sections_do_not_share() -> None:
    labels = np.zeros((30, 60, 60), np.int32)
    steps = np.arange(24)
    for shift in range(6):
        labels[steps + 3, steps + 10 + shift, 10:40] = 5
    cubes, slabs = told_apart(labels, CUBE), told_apart(labels, SLAB)
    assert (cubes[16, 40:] == -1).all() and (cubes[16, :14] == -1).all()
    assert cubes[16, 22, 20] == slabs[16, 22, 20] == 0  # a voxel above it
    assert cubes[3, 20, 20] == 0  # two voxels above what it is three sections on
    assert slabs[3, 20, 20] == -1
    assert 0 < (cubes == 0).mean() < 0.15


def test_labels_without_zeros_stay() -> None:
    labels = np.arange(1, 1001, dtype=np.int32).reshape(10, 10, 10)
    assert np.array_equal(told_apart(labels, None), labels)
