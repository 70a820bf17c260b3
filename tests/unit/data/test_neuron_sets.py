"""Public sets of neurons: their loaders on small files in the real layout."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError, UsageError
from morula.core.types import Array, Voxel
from morula.data import sets
from morula.data.sets import ac3_ac4, cremi, fib25, snemi3d
from server import Quiet, serving
from set_files import labels_of, write_png
from volume_files import GREY, write_hdf5, write_sections

RNG = np.random.default_rng(2)
RAW = RNG.integers(1, 256, (12, 20, 24), dtype=np.uint8)
NEURONS = RNG.integers(1, 9, RAW.shape).astype(np.uint64)
BLOCK = NEURONS[2:6, 4:14, 3:20]


def cremi_file(path: Path, labels: Array, offset: tuple[float, ...] | None = None) -> None:
    with h5py.File(path, "w") as file:
        for key, array in (("raw", RAW), ("labels/neuron_ids", labels), ("labels/clefts", labels)):
            stored = file.create_dataset(f"volumes/{key}", data=array)
            stored.attrs["resolution"] = (40.0, 4.0, 4.0)
            if offset and key != "raw":
                stored.attrs["offset"] = offset


def test_cremi(tmp_path: Path) -> None:
    cremi_file(tmp_path / "sample_B_20160501.hdf", NEURONS)
    cremi_file(tmp_path / "sample_B_padded_20160501.hdf", BLOCK, offset=(80.0, 16.0, 12.0))
    (cropped,) = cremi.records(tmp_path, "B")
    assert (cropped.id, cropped.group, cropped.image.voxel) == ("cremi_B", "cremi_B", cremi.VOXEL)
    np.testing.assert_array_equal(cropped.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(cropped), NEURONS)
    (padded,) = cremi.records(tmp_path, "B-padded")
    assert (padded.id, padded.group) == ("cremi_B-padded", "cremi_B")
    assert padded.box == (slice(2, 6), slice(4, 14), slice(3, 20))
    np.testing.assert_array_equal(labels_of(padded), BLOCK)


SUPERVOXELS = NEURONS * 10
TABLE = np.stack([np.arange(1, 9) * 10, np.arange(1, 9) // 2 + 1], axis=1).astype(np.uint64)


def fib25_sample(folder: Path, image: str) -> Path:
    sample = folder / "training_sample2"
    sample.mkdir(parents=True)
    write_hdf5(sample / "groundtruth.h5", stack=SUPERVOXELS, transforms=TABLE)
    if image == "sections":
        write_sections(sample / "grayscale_maps", RAW, "iso.{}.png")
    else:
        write_hdf5(sample / "grayscale_maps.h5", raw=RAW)
    return folder


@pytest.mark.parametrize("image", ["hdf5", "sections"])
def test_fib25_has_bodies(image: str, tmp_path: Path) -> None:
    (record,) = fib25.records(fib25_sample(tmp_path / "fib25", image), "training_sample2")
    assert (record.id, record.image.voxel) == ("fib25_training_sample2", Voxel(z=10, y=10, x=10))
    np.testing.assert_array_equal(record.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(record), NEURONS // 2 + 1)


def test_the_test_volume_of_fib25_has_another_name_for_its_image(tmp_path: Path) -> None:
    sample = tmp_path / "tstvol-520-1"
    sample.mkdir()
    write_hdf5(sample / "groundtruth.h5", stack=SUPERVOXELS, transforms=TABLE)
    with pytest.raises(DataError, match=r"no raw\.h5"):
        fib25.records(tmp_path, "tstvol-520-1")
    write_hdf5(sample / "raw.h5", raw=RAW)
    (record,) = fib25.records(tmp_path, "tstvol-520-1")
    np.testing.assert_array_equal(record.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(record), NEURONS // 2 + 1)
    assert {file.filename for file in fib25.SET.files if "tstvol" in file.url} == {
        "tstvol-520-1/raw.h5",
        "tstvol-520-1/groundtruth.h5",
    }


def test_fib25_is_downloaded_into_a_folder_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fib25_sample(tmp_path / "served", "hdf5")
    files = tuple(replace(file, sha256=None) for file in fib25.SET.files[:2])
    monkeypatch.setattr(sets, "SETS", MappingProxyType({"fib25": replace(fib25.SET, files=files)}))
    with serving(partial(Quiet, directory=str(folder))) as address:
        root = sets.get("fib25", cache=tmp_path / "cache", base_url=address)
    np.testing.assert_array_equal(labels_of(fib25.records(root, "training_sample2")[0]), NEURONS // 2 + 1)


def test_fib25_that_is_still_packed(tmp_path: Path) -> None:
    sample = fib25_sample(tmp_path, "sections") / "training_sample2"
    (sample / "groundtruth.h5").rename(sample / "groundtruth.h5.gz")
    with pytest.raises(DataError, match="gunzip"):
        fib25.records(tmp_path, "training_sample2")


def test_snemi3d(tmp_path: Path) -> None:
    for name, array in (("image/train-input", RAW), ("image/test-input", RAW), ("seg/train-labels", NEURONS)):
        path = tmp_path / "snemi" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array.astype(np.uint16 if "labels" in name else np.uint8), **GREY)
    (train,) = snemi3d.records(tmp_path, "train")
    assert train.image.voxel == Voxel(z=30, y=6, x=6)
    np.testing.assert_array_equal(train.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(train), NEURONS)
    assert not snemi3d.records(tmp_path, "test")[0].is_labelled
    write_hdf5(tmp_path / "snemi/test-labels.h5", main=NEURONS)
    np.testing.assert_array_equal(labels_of(snemi3d.records(tmp_path, "test")[0]), NEURONS)


COLOURED = NEURONS * 70_001


def ac4_package(root: Path) -> Path:
    """Images are numbered 1, 2, ..., their labels from the last section on; colours are red, green, blue."""
    top = root / "AC3AC4Package"
    for number, (image, labels) in enumerate(zip(RAW, COLOURED, strict=True), start=1):
        colours = np.stack([labels >> np.uint64(shift) & np.uint64(255) for shift in (16, 8, 0)], axis=-1)
        write_png(top / f"ac4_EM/affinecropped4_inv_{number:04}.png", image)
        write_png(top / f"ac4_seg_daniel/ac4_daniel_s{13 - number:04}.png", colours.astype(np.uint8))
    return root


def test_ac4_has_coloured_labels_in_reverse(tmp_path: Path) -> None:
    (record,) = ac3_ac4.records(ac4_package(tmp_path), "ac4")
    assert (record.id, record.image.voxel) == ("ac3_ac4_ac4", Voxel(z=30, y=6, x=6))
    np.testing.assert_array_equal(record.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(record), COLOURED)


def test_ac4_without_one_of_its_labels(tmp_path: Path) -> None:
    root = ac4_package(tmp_path)
    (root / "AC3AC4Package/ac4_seg_daniel/ac4_daniel_s0005.png").unlink()
    with pytest.raises(DataError, match="11 sections of labels for 12"):
        ac3_ac4.records(root, "ac4")


def test_ac3_as_stacks(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "AC3_inputs.tif", RAW, **GREY)
    write_hdf5(tmp_path / "AC3_labels.h5", main=NEURONS)
    (record,) = ac3_ac4.records(tmp_path, "ac3")
    np.testing.assert_array_equal(record.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(record), NEURONS)


def test_labels_of_another_size_than_their_image(tmp_path: Path) -> None:
    cremi_file(tmp_path / "sample_A_20160501.hdf", NEURONS[1:])
    with pytest.raises(DataError, match=r"labels of 11 x 20 x 24.*12 x 20 x 24"):
        labels_of(cremi.records(tmp_path, "A")[0])


@pytest.mark.parametrize("module", [cremi, fib25, snemi3d, ac3_ac4])
def test_a_set_that_is_not_there(module: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"morula data get {module.SET.name}"):
        module.records(tmp_path, module.SET.splits[0])
    with pytest.raises(UsageError, match="choose one of"):
        module.records(tmp_path, "nowhere")
