"""The readers on real images: sizes, types and counts are those that the manifests state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.data import load_records, load_volumes, open_volume, read_labels, read_mask
from morula.data.coco import read_coco
from morula.data.points import read_points_csv

pytestmark = pytest.mark.real


def entries(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "open" / "manifest.json").read_text())


@pytest.mark.parametrize("name", ["hist_monuseg", "dsb2018", "pc_usiigaci_t98g"])
def test_an_image_and_its_mask(name: str, real_data: Path) -> None:
    folder = real_data / name
    entry = entries(folder)[0]
    image, mask = folder / entry["image"], folder / entry["mask"]
    ((record,), errors) = load_records(image, mask)
    assert errors == []
    assert record.image.is_rgb == (len(entry["shape"]) == 3)
    assert record.image.read_yxc().shape[:2] == tuple(entry["shape"][:2])
    assert record.image.dtype == entry.get("dtype", "uint8")
    assert record.labels is not None
    assert len(np.unique(record.labels())) - 1 == entry["n_instances"]


def test_a_folder_pairs_with_its_masks(real_data: Path) -> None:
    folder = real_data / "pc_usiigaci_t98g"
    records, errors = load_records(folder / "open" / "images", folder / "open" / "masks")
    assert errors == []
    assert len(records) == len(entries(folder))
    assert all(record.is_labelled for record in records)


def test_points(real_data: Path) -> None:
    folder = real_data / "ihc_bcdata_ki67"
    entry = entries(folder)[0]
    image, points = open_volume(folder / entry["image"]), read_points_csv(folder / entry["points"])
    assert len(points.of("positive")) == entry["n_positive"]
    assert len(points.of("negative")) == entry["n_negative"]
    assert (points.yx < image.spatial_shape).all()
    rows, columns = points.yx.astype(int).T
    grey = image.read_yxc().mean(axis=-1)
    assert grey[rows, columns].mean() < grey[columns, rows].mean()  # nuclei are dark: y is the row


def test_coco(real_data: Path) -> None:
    folder = real_data / "nat_coco128"
    images = read_coco(folder / "open" / "instances.json")
    for entry in entries(folder)[:10]:
        image = images[Path(entry["image"]).stem]
        assert (image.height, image.width) == tuple(entry["shape"][:2])
        assert len(image.segmentations) == entry["n_instances"]
        assert 0 < image.labels().max() <= entry["n_instances"]


def test_every_mask_of_a_set_is_read_alike(real_data: Path) -> None:
    folder = real_data / "dsb2018"
    for entry in entries(folder)[::10]:
        labels = read_labels(folder / entry["mask"])
        assert (labels.shape, int(labels.max())) == (tuple(entry["shape"][:2]), entry["n_instances"])


@pytest.mark.parametrize("name", ["em_vnc_sstem", "em_cdeep3m_mito"])
def test_a_volume_and_its_mitochondria(name: str, real_data: Path) -> None:
    folder = real_data / name
    (entry,) = entries(folder)
    mito = folder / entry["labels"]["mito"]["file"]
    ((record,), errors) = load_volumes(folder / entry["image"], mito, domain="source")
    assert errors == []
    assert (record.image.axes.order, record.image.shape) == ("zyx", tuple(entry["shape"]))
    np.testing.assert_array_equal(record.image[7:9, 100], record.image.read()[7:9, 100])
    mask = read_mask(mito)
    assert record.labels is not None
    np.testing.assert_array_equal(mask, record.labels())
    assert mask.mean() == pytest.approx(entry["labels"]["mito"]["fg_fraction"])
    instances = folder / entry["labels"]["mito_instances_cc"]["file"]
    np.testing.assert_array_equal(read_mask(instances), mask)
    with pytest.raises(DataError, match="grey levels"):
        read_mask(folder / entry["image"])
