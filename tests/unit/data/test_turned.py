from __future__ import annotations

from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pytest
import tifffile

from morula.core.types import Axes, Volume, Voxel
from morula.data.label_block import load_block
from morula.data.turned import Stored, turned
from morula.data.volumes import load_volumes

WHOLE = np.random.default_rng(0).integers(1, 255, (16, 18, 20), dtype=np.uint8)
ORDERS: tuple[Stored, ...] = get_args(Stored)


def stored_as(array: np.ndarray, order: str) -> np.ndarray:
    return array.transpose(["zyx".index(axis) for axis in order])


class Asked:
    """A source that remembers how much of it was read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.read, self.shape, self.dtype = array, 0, array.shape, array.dtype

    def __getitem__(self, key: object) -> np.ndarray:
        found = self.array[key]  # type: ignore[index]
        self.read += found.size
        return found


@pytest.mark.parametrize("order", ORDERS)
def test_any_index_means_what_it_means_in_z_y_x(order: Stored) -> None:
    source = Asked(stored_as(WHOLE, order))
    volume = turned(Volume(source, Axes("zyx"), "v", stamp="v"), order)
    assert volume.shape == WHOLE.shape
    for key in (..., 2, (slice(1, 3), slice(None, None, -2)), (1, 2, 3), (..., [0, 4, 2]), (slice(2, 4), 1)):
        assert np.array_equal(volume[key], WHOLE[key])
    source.read = 0
    assert np.array_equal(volume[1:3, 2:4, 5:8], WHOLE[1:3, 2:4, 5:8])
    assert source.read == 2 * 2 * 3


def test_the_same_file_in_another_order_is_another_volume() -> None:
    cube = np.zeros((4, 4, 4), np.uint8)
    volume = Volume(cube, Axes("zyx"), "v", stamp="v")
    assert len({turned(volume, order).fingerprint for order in ORDERS}) == len(ORDERS)


@pytest.mark.parametrize("order", ORDERS)
def test_volume_labels_size_and_offset_turn_together(order: Stored, tmp_path: Path) -> None:
    """Sizes and offsets that a file states are along its own axes; what a caller gives is along z, y, x."""
    block = np.random.default_rng(1).integers(1, 5, (2, 3, 4)).astype(np.uint16)
    edges, first = (40.0, 8.0, 4.0), np.array([1, 2, 3])
    path = tmp_path / "both.h5"
    with h5py.File(path, "w") as file:
        raw, labels = file.create_dataset("raw", data=stored_as(WHOLE, order)), None
        raw.attrs["resolution"] = [edges["zyx".index(axis)] for axis in order]
        labels = file.create_dataset("ids", data=stored_as(block, order))
        labels.attrs["offset"] = [(first * edges)["zyx".index(axis)] for axis in order]
    record = load_block(Path(f"{path}:/raw"), Path(f"{path}:/ids"), stored=order)
    assert record.image.voxel == Voxel(z=40, y=8, x=4)
    assert np.array_equal(record.image.read(), WHOLE)
    assert record.box == (slice(1, 3), slice(2, 5), slice(3, 7))
    assert record.labels is not None
    assert np.array_equal(record.labels(), block)
    given = Voxel(z=1, y=2, x=3)
    again = load_block(
        Path(f"{path}:/raw"), Path(f"{path}:/ids"), stored=order, voxel=given, offset=(0, 1, 2)
    )
    assert (again.image.voxel, again.box) == (given, (slice(0, 2), slice(1, 4), slice(2, 6)))


def test_labels_as_large_as_the_volume_turn_with_it(tmp_path: Path) -> None:
    for name, array in {"raw": WHOLE, "labels": WHOLE % 5}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", array.T, photometric="minisblack")
    (record,), _ = load_volumes(tmp_path / "raw.tif", tmp_path / "labels.tif", stored="xyz")
    assert record.labels is not None
    assert np.array_equal(record.labels(), WHOLE % 5)
