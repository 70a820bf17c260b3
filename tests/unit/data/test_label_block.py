from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from morula.core.errors import DataError, UsageError
from morula.core.types import Voxel
from morula.data.label_block import load_block

RAW = np.random.default_rng(0).integers(1, 255, (6, 24, 32), dtype=np.uint8)
BLOCK = np.random.default_rng(1).integers(1, 9, (3, 10, 12)).astype(np.uint16)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "raw.tif", RAW, photometric="minisblack")
    return tmp_path / "raw.tif"


def saved(folder: Path, labels: np.ndarray) -> Path:
    tifffile.imwrite(folder / "labels.tif", labels, photometric="minisblack")
    return folder / "labels.tif"


def test_a_block_lies_where_its_offset_says(volume: Path, tmp_path: Path) -> None:
    record = load_block(volume, saved(tmp_path, BLOCK), offset=(2, 5, 20), voxel=Voxel(z=30, y=6, x=6))
    assert record.box == (slice(2, 5), slice(5, 15), slice(20, 32))
    assert record.labels is not None
    assert np.array_equal(record.labels(), BLOCK)
    assert record.image[record.box].shape == BLOCK.shape
    assert record.image.voxel == Voxel(z=30, y=6, x=6)
    assert np.array_equal(pickle.loads(pickle.dumps(record.labels))(), BLOCK)


def test_zeros_around_a_block_are_cut_away_and_zeros_inside_it_kept(volume: Path, tmp_path: Path) -> None:
    block = BLOCK.copy()
    block[1, 3:5] = 0
    whole = np.zeros(RAW.shape, np.uint16)
    whole[1:4, 8:18, 3:15] = block
    record = load_block(volume, saved(tmp_path, whole))
    assert record.box == (slice(1, 4), slice(8, 18), slice(3, 15))
    assert record.labels is not None
    assert np.array_equal(record.labels(), block)


def test_a_block_may_have_the_ids_of_large_connectomes(volume: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "ids.h5", "w") as file:
        file["ids"] = BLOCK + np.uint64(2**40)
    record = load_block(volume, tmp_path / "ids.h5", offset=(0, 0, 0))
    assert record.labels is not None
    assert np.array_equal(record.labels(), BLOCK)


def padded(
    folder: Path, *, own: tuple | None = None, of_labels: tuple = (40.0, 4.0, 4.0)
) -> tuple[Path, Path]:
    """The raw and the neurons of a padded CREMI file, a block at 1, 4, 6."""
    path = folder / "sample_A_padded.hdf"
    with h5py.File(path, "w") as file:
        raw = file.create_dataset("volumes/raw", data=RAW)
        raw.attrs["resolution"] = (40.0, 4.0, 4.0)
        if own:
            raw.attrs["offset"] = own
        labels = file.create_dataset("volumes/labels/neuron_ids", data=BLOCK.astype(np.uint64))
        labels.attrs["resolution"] = of_labels
        labels.attrs["offset"] = np.array([1, 4, 6]) * (40, 4, 4) + (own or (0, 0, 0))
    return Path(f"{path}:/volumes/raw"), Path(f"{path}:/volumes/labels/neuron_ids")


@pytest.mark.parametrize("own", [None, (80.0, 40.0, 20.0)])
@pytest.mark.parametrize("told", [None, Voxel(z=70, y=8.6, x=8.6)])
def test_a_padded_cremi_file_is_placed_by_its_offset_in_nm(
    tmp_path: Path, own: tuple | None, told: Voxel | None
) -> None:
    """The offset is in the nm of the file, whatever size a user knows the voxels to have."""
    record = load_block(*padded(tmp_path, own=own), voxel=told)
    assert record.box == (slice(1, 4), slice(4, 14), slice(6, 18))
    assert record.image.voxel == (told or Voxel(z=40, y=4, x=4))


def test_an_offset_in_voxels_where_nm_belong_is_not_rounded(tmp_path: Path) -> None:
    volume, labels = padded(tmp_path)
    with h5py.File(tmp_path / "sample_A_padded.hdf", "a") as file:
        file["volumes/labels/neuron_ids"].attrs["offset"] = (1, 4, 6)
    with pytest.raises(UsageError, match=r"--label-offset: .*as nm it is 0.025 1 1.5 .*as voxels 1 4 6\."):
        load_block(volume, labels)
    assert load_block(volume, labels, offset=(1, 4, 6)).box == (slice(1, 4), slice(4, 14), slice(6, 18))


def test_an_offset_in_nm_may_be_a_little_off_a_voxel(tmp_path: Path) -> None:
    volume, labels = padded(tmp_path)
    with h5py.File(tmp_path / "sample_A_padded.hdf", "a") as file:
        file["volumes/labels/neuron_ids"].attrs["offset"] = (40.0, 16.1, 23.9)
    assert load_block(volume, labels).box == (slice(1, 4), slice(4, 14), slice(6, 18))


def ome_zarr(path: Path, values: np.ndarray, translation: tuple | None, unit: str = "nanometer") -> Path:
    """An OME-Zarr image of 40 x 4 x 4 nm that begins somewhere, in the unit."""
    each = 1.0 if unit == "nanometer" else 1e-3
    steps = [{"type": "scale", "scale": [40 * each, 4 * each, 4 * each]}]
    if translation:
        steps.append({"type": "translation", "translation": [each * length for length in translation]})
    axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    group.create_array("0", data=values)
    return path


@pytest.mark.parametrize("unit", ["nanometer", "micrometer"])
@pytest.mark.parametrize("own", [None, (80.0, 40.0, 20.0)])
def test_ome_zarr_is_placed_by_its_translation(tmp_path: Path, own: tuple | None, unit: str) -> None:
    begin = tuple(np.array((40.0, 16.0, 24.0)) + (own or (0, 0, 0)))
    volume = ome_zarr(tmp_path / "raw.ome.zarr", RAW, own)
    labels = ome_zarr(tmp_path / "ids.ome.zarr", BLOCK.astype(np.uint32), begin, unit)
    assert load_block(volume, labels).box == (slice(1, 4), slice(4, 14), slice(6, 18))


def test_a_translation_of_zeros_places_no_block(tmp_path: Path) -> None:
    volume = ome_zarr(tmp_path / "raw.ome.zarr", RAW, None)
    labels = ome_zarr(tmp_path / "ids.ome.zarr", BLOCK.astype(np.uint32), (0.0, 0.0, 0.0))
    with pytest.raises(UsageError, match="nothing says where it lies"):
        load_block(volume, labels)


def test_labels_as_large_as_the_volume_may_name_the_corner_of_a_voxel_or_its_centre(tmp_path: Path) -> None:
    volume = ome_zarr(tmp_path / "raw.ome.zarr", RAW, None)
    whole = np.zeros(RAW.shape, np.uint32)
    whole[1:4, 4:14, 6:18] = BLOCK
    labels = ome_zarr(tmp_path / "ids.ome.zarr", whole, (20.0, 2.0, 2.0))
    assert load_block(volume, labels).box == (slice(1, 4), slice(4, 14), slice(6, 18))
    labels = ome_zarr(tmp_path / "ids.ome.zarr", whole, (40.0, 0.0, 0.0))
    with pytest.raises(UsageError, match="leaves the volume"):
        load_block(volume, labels)


def test_labels_of_another_resolution_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"40 x 8 x 8 nm.*raw are 40 x 4 x 4"):
        load_block(*padded(tmp_path, of_labels=(40.0, 8.0, 8.0)), offset=(1, 4, 6))


@pytest.mark.parametrize("offset", [(4, 0, 0), (0, 15, 0), (0, 0, -1)])
def test_a_block_that_leaves_the_volume_is_refused(
    volume: Path, tmp_path: Path, offset: tuple[int, int, int]
) -> None:
    with pytest.raises(UsageError, match="leaves the volume"):
        load_block(volume, saved(tmp_path, BLOCK), offset=offset)


def test_a_block_without_a_place_is_refused(volume: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing says where it lies"):
        load_block(volume, saved(tmp_path, BLOCK))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((7, 24, 32), np.uint16), "labels of 7 x 24 x 32"),
        (np.zeros(RAW.shape, np.uint16), "every label is 0"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(
    volume: Path, tmp_path: Path, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_block(volume, saved(tmp_path, labels))


def test_several_volumes_are_too_many(volume: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw2.tif", RAW, photometric="minisblack")
    folder = tmp_path / "labels"
    folder.mkdir()
    with pytest.raises(DataError, match="2 volumes"):
        load_block(tmp_path, saved(folder, BLOCK))
