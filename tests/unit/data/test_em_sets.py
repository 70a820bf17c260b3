"""Public mitochondria sets: each rule of their loaders on a small archive in the real layout."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError, UsageError
from morula.core.types import Array, Record, Voxel
from morula.data.sets import kasthuri_pp, lucchi_pp, mitoem, vnc
from morula.data.sets.archive import extract

RNG = np.random.default_rng(5)
SHAPE = (12, 20, 24)
RAW = RNG.integers(1, 256, SHAPE, dtype=np.uint8)
MITO = np.zeros(SHAPE, np.uint8)
for _z in range(len(MITO)):
    MITO[_z, _z : _z + 6, 4:9] = 1


def png(array: Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def tif(array: Array) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array)
    return stream.getvalue()


def rgba(plane: Array) -> Array:
    return np.dstack([plane] * 3 + [np.full_like(plane, 255)])


def unpacked(folder: Path, archive: str, members: dict[str, bytes]) -> Path:
    """A set's folder in the cache, with what an archive of these members leaves there."""
    path = folder / archive
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    extract(path, folder / path.name.split(".", 1)[0])
    return folder


def labels_of(record: Record) -> Array:
    assert record.labels is not None
    labels = pickle.loads(pickle.dumps(record)).labels()
    assert labels.dtype == np.int32
    return labels


def lucchi(folder: Path) -> Path:
    """Training labels are RGBA, test labels grey; the test part is upside down."""
    members = {"__MACOSX/Lucchi++/Train_In/._mask0000.png": b"mac"}
    for z in range(len(RAW)):
        members[f"Lucchi++/Train_In/mask{z:04}.png"] = png(RAW[z])
        members[f"Lucchi++/Train_Out/{z}.png"] = png(rgba(MITO[z] * 255))
        members[f"Lucchi++/Test_In/mask{z:04}.png"] = png(RAW[z, ::-1])
        members[f"Lucchi++/Test_Out/{z}.png"] = png(MITO[z, ::-1] * 255)
    return unpacked(folder, "lucchi_pp.zip", members)


def test_lucchi(tmp_path: Path) -> None:
    """In text order the label 10.png would belong to mask0002.png."""
    root = lucchi(tmp_path / "lucchi_pp")
    (train,) = lucchi_pp.records(root, "train")
    assert (train.id, train.image.voxel) == ("lucchi_pp_train", Voxel(z=5.0, y=5.0, x=5.0))
    np.testing.assert_array_equal(train.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(train), MITO)
    (test,) = lucchi_pp.records(root, "test")
    np.testing.assert_array_equal(test.image.read(), RAW[:, ::-1])
    np.testing.assert_array_equal(labels_of(test), MITO[:, ::-1])
    with pytest.raises(UsageError, match="choose one of train, test"):
        lucchi_pp.records(root, "validation")


def test_lucchi_by_torch_em_has_swapped_names(tmp_path: Path) -> None:
    for name, raw in (("train", RAW[:, ::-1]), ("test", RAW)):
        with h5py.File(tmp_path / f"lucchi_{name}.h5", "w") as file:
            file["raw"], file["labels"] = raw, MITO
    (train,) = lucchi_pp.records(tmp_path, "train")
    np.testing.assert_array_equal(train.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(train), MITO)


def test_lucchi_in_hdf5_pairs(tmp_path: Path) -> None:
    for name, array in (("train_im", RAW), ("train_mito", MITO * 255)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["main"] = array
    (train,) = lucchi_pp.records(tmp_path, "train")
    np.testing.assert_array_equal(train.image.read(), RAW)
    np.testing.assert_array_equal(labels_of(train), MITO)
    with pytest.raises(DataError, match="morula data get lucchi_pp"):
        lucchi_pp.records(tmp_path, "test")


def test_labels_and_images_of_different_sizes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "lucchi_test.h5", "w") as file:
        file["raw"], file["labels"] = RAW, MITO[1:]
    (train,) = lucchi_pp.records(tmp_path, "train")
    assert train.labels is not None
    with pytest.raises(DataError, match=r"lucchi_test\.h5.*\(11, 20, 24\).*\(12, 20, 24\)"):
        train.labels()


def kasthuri(sections: int) -> tuple[Array, Array]:
    """An image with a black border and labels that are 2 there."""
    image = np.resize(RAW, (sections, 20, 24))
    labels = np.resize(MITO * 255, (sections, 20, 24))
    image[:, :, 18:], labels[:, :, 18:] = 0, 2
    return image, labels


def kasthuri_folders(folder: Path, train: int, test: int) -> Path:
    members = {}
    for name, sections in (("Train", train), ("Test", test)):
        image, labels = kasthuri(sections)
        for z in range(sections):
            members[f"Kasthuri++/{name}_In/im{z:03}.png"] = png(image[z])
            members[f"Kasthuri++/{name}_Out/lab{z:03}.png"] = png(np.dstack([labels[z]] * 3))
    return unpacked(folder, "kasthuri_pp.zip", members)


def test_kasthuri_has_a_border_that_is_no_tissue(tmp_path: Path) -> None:
    root = kasthuri_folders(tmp_path / "kasthuri_pp", 85, 75)
    for split, sections in (("train", 85), ("test", 75)):
        (record,) = kasthuri_pp.records(root, split)
        image, labels = kasthuri(sections)
        np.testing.assert_array_equal(record.image.read(), image)
        np.testing.assert_array_equal(labels_of(record), labels == 255)
        np.testing.assert_array_equal(kasthuri_pp.tissue(root, split), labels != 2)


def test_kasthuri_with_swapped_splits_is_refused(tmp_path: Path) -> None:
    root = kasthuri_folders(tmp_path / "kasthuri_pp", 75, 85)
    with pytest.raises(DataError, match=r"75 sections, but the train split has 85.*swapped"):
        kasthuri_pp.records(root, "train")


def test_kasthuri_by_torch_em_has_swapped_names(tmp_path: Path) -> None:
    for name, sections in (("train", 75), ("test", 85)):
        image, labels = kasthuri(sections)
        with h5py.File(tmp_path / f"kasthuri_{name}.h5", "w") as file:
            file["raw"] = image
            file["labels"] = np.select([labels == 255, labels == 2], [1, -1]).astype(np.int8)
    image, labels = kasthuri(85)
    (record,) = kasthuri_pp.records(tmp_path, "train")
    np.testing.assert_array_equal(record.image.read(), image)
    np.testing.assert_array_equal(labels_of(record), labels == 255)
    np.testing.assert_array_equal(kasthuri_pp.tissue(tmp_path, "train"), labels != 2)


WIDE = RNG.integers(1, 256, (4, 20, 1024), dtype=np.uint8)
WIDE_MITO = np.zeros_like(WIDE)
WIDE_MITO[:, 3:15, 500:530] = 1


def vnc_archive(folder: Path) -> Path:
    """Section 1 is 1 bit, section 2 has stray grey levels, the others are 0/255."""
    top = "groundtruth-drosophila-vnc-master"
    masks = [png(section * 255) for section in WIDE_MITO]
    masks[1] = png(WIDE_MITO[1] > 0)
    stray = WIDE_MITO[2] * 255
    stray[5, 600:603] = 17, 130, 254
    masks[2] = png(stray)
    members = {}
    for z, section in enumerate(WIDE):
        members[f"{top}/stack1/raw/{z:02}.tif"] = tif(section)
        members[f"{top}/stack1/mitochondria/{z:02}.png"] = masks[z]
        members[f"{top}/stack1/labels/labels{z:08}.png"] = png(WIDE_MITO[z] * 191)
        members[f"{top}/stack2/raw/{z:02}.tif"] = tif(255 - section)
    return unpacked(folder, "groundtruth-drosophila-vnc.zip", members)


def test_vnc_is_cut_into_halves(tmp_path: Path) -> None:
    root = vnc_archive(tmp_path / "vnc")
    mask = WIDE_MITO.copy()
    mask[2, 5, 600:603] = 1
    for split, columns in (("train", slice(512)), ("test", slice(512, None)), ("stack1", slice(None))):
        (record,) = vnc.records(root, split)
        part = WIDE[..., columns]
        assert record.image.shape == part.shape
        np.testing.assert_array_equal(record.image.read(), part)
        np.testing.assert_array_equal(record.image[2, 4:9, -3:], part[2, 4:9, -3:])
        np.testing.assert_array_equal(labels_of(record), mask[..., columns])
        assert record.group == "vnc_stack1"
    assert vnc.records(root, "train")[0].image.fingerprint != vnc.records(root, "test")[0].image.fingerprint
    (unlabelled,) = vnc.records(root, "stack2")
    np.testing.assert_array_equal(unlabelled.image.read(), 255 - WIDE)
    assert not unlabelled.is_labelled


def mitoem_archives(folder: Path, labelled: range = range(4, 7)) -> Path:
    """12 sections: labels of 0 to 3 for training and of `labelled` for validation."""
    unpacked(folder, "EM30-R-im.zip", {f"im/im{z:04}.png": png(RAW[z]) for z in range(12)})
    labels = {f"mito-train-v2/seg{z:04}.tif": tif(MITO[z].astype(np.uint16) * 300) for z in range(4)}
    labels |= {f"mito-val-v2/seg{z:04}.tif": tif(MITO[z].astype(np.uint16) * 500) for z in labelled}
    return unpacked(folder, "EM30-R-mito-train-val-v2.zip", labels)


def test_mitoem_pairs_by_number(tmp_path: Path) -> None:
    root = mitoem_archives(tmp_path / "mitoem")
    for split, sections, number in (("rat-train", slice(4), 300), ("rat-val", slice(4, 7), 500)):
        (record,) = mitoem.records(root, split)
        np.testing.assert_array_equal(record.image.read(), RAW[sections])
        np.testing.assert_array_equal(labels_of(record), MITO[sections].astype(int) * number)
    (test,) = mitoem.records(root, "rat-test")
    np.testing.assert_array_equal(test.image.read(), RAW[7:])
    assert not test.is_labelled
    (part,) = mitoem.records(root, "rat-val", sections=slice(1, 3))
    np.testing.assert_array_equal(part.image[-1], RAW[6])
    np.testing.assert_array_equal(labels_of(part), MITO[5:7].astype(int) * 500)
    with pytest.raises(DataError, match=r"human.*morula data get mitoem"):
        mitoem.records(root, "human-train")


@pytest.mark.parametrize(
    ("labelled", "found"), [(range(4, 8, 2), "do not follow"), (range(10, 14), "no image of section 12")]
)
def test_mitoem_with_sections_missing(labelled: range, found: str, tmp_path: Path) -> None:
    members = {f"mito-val-v2/seg{z:04}.tif": tif(MITO[0]) for z in labelled}
    unpacked(tmp_path, "EM30-R-im.zip", {f"im/im{z:04}.png": png(RAW[z]) for z in range(12)})
    root = unpacked(tmp_path, "EM30-R-mito-train-val-v2.zip", members)
    with pytest.raises(DataError, match=found):
        mitoem.records(root, "rat-val")


@pytest.mark.parametrize("module", [lucchi_pp, kasthuri_pp, vnc, mitoem])
def test_a_set_that_is_not_there(module: object, tmp_path: Path) -> None:
    split = module.SET.splits[0]
    with pytest.raises(DataError, match=f"morula data get {module.SET.name}"):
        module.records(tmp_path, split)
