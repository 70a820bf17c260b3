"""Which labels belong to which volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError
from morula.data import load_records, load_volumes
from volume_files import MASK, STACK, labels_of, one, write_hdf5, write_mrc, write_sections, write_tiff


def test_a_folder_of_volumes(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_tiff(images / "s10_raw.tif")
    write_tiff(images / "s2_raw.tif")
    write_hdf5(images / "train_im.h5", main=STACK)
    write_mrc(images / "alone.mrc", STACK.astype(np.int16))
    labels.mkdir()
    write_hdf5(labels / "s10_mito.h5", main=MASK)
    write_tiff(labels / "label_s2.tif", MASK * 2)
    write_tiff(labels / "train_mito.tif", MASK * 3)
    records, errors = load_volumes(images, labels)
    assert errors == []
    assert [record.id for record in records] == ["alone", "s2_raw", "s10_raw", "train_im"]
    found = [labels_of(record).max() if record.is_labelled else None for record in records]
    assert found == [None, 2, 1, 3]


def test_a_folder_of_sections_has_a_folder_of_labels(tmp_path: Path) -> None:
    """As Lucchi++ names them: sorted as text they would be mispaired."""
    images = write_sections(tmp_path / "Train_In", STACK, "mask{:04}.png")
    labels = write_sections(tmp_path / "Train_Out", MASK * 255, "{}.png")
    record = one(images, labels)
    assert record.id == "Train_In"
    np.testing.assert_array_equal(labels_of(record), MASK * 255)


def test_a_pair_of_different_sizes_names_both(tmp_path: Path) -> None:
    images = write_tiff(tmp_path / "a.tif")
    labels = write_tiff(tmp_path / "b.tif", MASK[:9])
    with pytest.raises(DataError, match=r"b\.tif: labels of 9 x 20 x 24, but .*a\.tif is 11 x 20 x 24"):
        load_volumes(images, labels)


def test_what_cannot_be_paired_is_said(tmp_path: Path) -> None:
    for name in ("images/a_raw", "images/b_raw", "labels/a_mito", "labels/c_mito"):
        write_tiff(tmp_path / f"{name}.tif")
    with pytest.raises(DataError, match="labels without a volume: c_mito; volumes without labels: b_raw"):
        load_volumes(tmp_path / "images", tmp_path / "labels")


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (["a_raw", "a_im"], ["a_mito"], "labels that fit"),
        (["a_raw", "b_raw"], ["a_mito", "a_seg"], "labels for"),
    ],
)
def test_pairs_that_are_not_clear(images: list[str], labels: list[str], found: str, tmp_path: Path) -> None:
    for name in images:
        write_tiff(tmp_path / "images" / f"{name}.tif")
    for name in labels:
        write_tiff(tmp_path / "labels" / f"{name}.tif")
    with pytest.raises(DataError, match=found):
        load_volumes(tmp_path / "images", tmp_path / "labels")


def test_names_that_are_equal_come_before_words(tmp_path: Path) -> None:
    for name in ("images/a", "images/a_raw", "labels/a"):
        write_tiff(tmp_path / f"{name}.tif")
    records, _ = load_volumes(tmp_path / "images", tmp_path / "labels")
    assert [(record.id, record.is_labelled) for record in records] == [("a", True), ("a_raw", False)]


def test_a_prediction_that_was_corrected_is_labels(tmp_path: Path) -> None:
    """Each of its folders holds numbered labels, not a mask an object."""
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", np.arange(400, dtype=np.uint8).reshape(20, 20))
    labels = np.zeros((20, 20), np.uint16)
    labels[2:5, 2:5], labels[8:12, 8:12] = 1, 7
    (tmp_path / "predictions/a").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "predictions/a/labels.tif", labels)
    (record,), _ = load_records(tmp_path / "images", tmp_path / "predictions")
    np.testing.assert_array_equal(labels_of(record), labels)
