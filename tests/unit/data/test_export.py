"""What a prediction leaves on disk."""

from __future__ import annotations

import csv
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from morula.core.errors import DataError
from morula.core.types import Array, Axes, Segmentation, Volume, Voxel
from morula.data import (
    export,
    measure,
    objects,
    open_volume,
    predicted_labels,
    read_labels,
    write_labels,
    write_prediction,
)
from morula.data.coco import encode_rle
from morula.data.export import COLUMNS, VOLUME_COLUMNS
from morula.data.labels import copy_labels, label_type
from morula.data.outlines import outlines
from morula.workflows.evaluate import evaluate

RING = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 2]])
small = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))


def image_of(labels: Array, voxel: Voxel | None = None) -> Volume:
    axes = Axes("yx" if labels.ndim == 2 else "zyx")
    return Volume(np.zeros(labels.shape, np.uint8), axes, "cells/a.png", voxel=voxel)


def found(labels: Array) -> Segmentation:
    count = int(labels.max(initial=0))
    return Segmentation(labels, np.full(count, 0.5), tuple(f"kind {i % 2}" for i in range(count)))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "objects.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_in_pixels(tmp_path: Path) -> None:
    write_prediction(tmp_path / "a", found(RING), image_of(RING))
    first, second = rows(tmp_path / "a")
    assert tuple(first) == COLUMNS
    assert list(first.values()) == ["1", "kind 0", "0.5", "8", "2.0", "2.0", "1", "1", "4", "4", "0"]
    assert list(second.values()) == ["2", "kind 1", "0.5", "1", "4.0", "4.0", "4", "4", "5", "5", "1"]


def test_areas_are_physical_where_the_pixel_size_is_known(tmp_path: Path) -> None:
    write_prediction(tmp_path / "a", found(RING), image_of(RING, Voxel(y=500.0, x=250.0)))
    assert float(rows(tmp_path / "a")[0]["area"]) == 8 * 0.125
    (feature, _) = json.loads((tmp_path / "a" / "objects.geojson").read_text())["features"]
    assert feature["properties"]["measurements"] == {"score": 0.5, "area um^2": 1.0}


def test_a_volume(tmp_path: Path) -> None:
    labels = np.zeros((3, 4, 5), np.int32)
    labels[1:, 2, 3] = 1
    write_prediction(tmp_path / "a", found(labels), image_of(labels, Voxel(z=100.0, y=10.0, x=10.0)))
    (row,) = rows(tmp_path / "a")
    assert tuple(row) == VOLUME_COLUMNS
    assert [row[key] for key in ("centroid_z", "centroid_y", "bbox_z0", "bbox_z1")] == [
        "1.5",
        "2.0",
        "1",
        "3",
    ]
    assert float(row["area"]) == pytest.approx(2e-5)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["labels.tif", "objects.csv"]


def test_labels_of_a_large_volume_are_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((3, 40, 50), np.int32)
    labels[1:, 2:9, 3] = 1
    place = tmp_path / "predictions" / "a"
    write_prediction(place, found(labels), image_of(labels, Voxel(z=100.0, y=10.0, x=10.0)))
    assert predicted_labels(place) == place / "labels.tif"
    monkeypatch.setattr(export, "_STORED", 2 * labels.size - 1)
    for _ in range(2):
        write_prediction(place, found(labels), image_of(labels, Voxel(z=100.0, y=10.0, x=10.0)))
    assert sorted(path.name for path in place.iterdir()) == ["labels.ome.zarr", "objects.csv"]
    assert np.array_equal(read_labels(predicted_labels(place)), labels)
    assert open_volume(predicted_labels(place)).voxel == Voxel(z=100.0, y=10.0, x=10.0)
    write_labels(tmp_path / "truth" / "a.tif", labels)
    assert evaluate(tmp_path, tmp_path / "truth", kind="instances")["mean"]["ap50"] == 1


def test_nothing_found(tmp_path: Path) -> None:
    empty = np.zeros((20, 20), np.int32)
    write_prediction(tmp_path / "a", found(empty), image_of(empty))
    assert rows(tmp_path / "a") == []
    assert json.loads((tmp_path / "a" / "coco.json").read_text())["annotations"] == []
    assert not open_volume(tmp_path / "a" / "labels.tif").read().any()


def test_qupath_outlines_have_holes(tmp_path: Path) -> None:
    write_prediction(tmp_path / "a", found(RING), image_of(RING))
    (ring, dot) = json.loads((tmp_path / "a" / "objects.geojson").read_text())["features"]
    assert ring["properties"]["objectType"] == "detection"
    assert ring["properties"]["classification"]["name"] == "kind 0"
    assert ring["geometry"]["type"] == "Polygon"
    assert ring["geometry"]["coordinates"][0] == [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]
    assert len(ring["geometry"]["coordinates"]) == 2
    assert dot["geometry"]["coordinates"] == [[[4, 4], [5, 4], [5, 5], [4, 5], [4, 4]]]


def test_an_earlier_prediction_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    write_prediction(tmp_path / "a", found(RING), image_of(RING))
    only = np.where(RING == 1, 1, 0)
    write_prediction(tmp_path / "a", found(only), image_of(only))
    assert len(rows(tmp_path / "a")) == 1
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"notes\.txt"):
        write_prediction(tmp_path / "a", found(only), image_of(only))
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("names", [("holiday.jpg",), ("labels.tif",), ("objects.csv",)])
def test_a_users_folder_is_not_touched(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match="not a prediction"):
        write_prediction(tmp_path, found(RING), image_of(RING))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_gap_in_the_labels_is_a_bug(tmp_path: Path) -> None:
    gap = np.where(RING == 1, 0, RING)
    with pytest.raises(ValueError, match="without gaps"):
        write_prediction(tmp_path / "a", found(gap), image_of(gap))


def test_five_thousand_objects_are_all_there(tmp_path: Path) -> None:
    labels = np.kron(np.arange(1, 5042).reshape(71, 71), np.pad(np.ones((14, 14), np.int32), 1)).astype(
        np.int32
    )
    write_prediction(tmp_path / "a", found(labels), image_of(labels))
    assert len(rows(tmp_path / "a")) == 5041


@given(small)
@settings(max_examples=60, deadline=None)
def test_outlines_enclose_exactly_the_pixels(labels: Array) -> None:
    traced = outlines(labels)
    assert sorted(traced) == sorted(set(labels.ravel().tolist()) - {0})
    for label, polygons in traced.items():
        assert np.array_equal(drawn(polygons, labels.shape), labels == label)


def drawn(polygons: list[list[list[tuple[int, int]]]], shape: tuple[int, ...]) -> Array:
    """Even-odd fill at pixel centres, written as a loop."""
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        for y, x in np.ndindex(*shape):
            crossed = 0
            for ring in polygon:
                for (x0, y0), (_, y1) in pairwise(ring):
                    crossed += x0 > x + 0.5 and min(y0, y1) < y + 0.5 < max(y0, y1)
            inside[y, x] |= bool(crossed % 2)
    return inside


@given(small)
@settings(max_examples=60, deadline=None)
def test_run_lengths_decode_to_the_object(labels: Array) -> None:
    codes = encode_rle(labels)
    assert len(codes) == labels.max(initial=0)
    for label, code in enumerate(codes, start=1):
        assert np.array_equal(coco_mask.decode(code).astype(bool), labels == label)


@given(arrays(np.int32, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.integers(0, 3)))
@settings(max_examples=60, deadline=None)
def test_objects_are_measured_as_a_loop_would(labels: Array) -> None:
    with patch.object(objects, "_SLAB", 20):
        table = measure(labels)
    assert table.id.tolist() == [label for label in (1, 2, 3) if (labels == label).any()]
    for row, label in enumerate(table.id):
        places = np.argwhere(labels == label)
        assert table.area[row] == len(places)
        np.testing.assert_allclose(table.centroid[row], places.mean(axis=0))
        assert table.start[row].tolist() == places.min(axis=0).tolist()
        assert table.stop[row].tolist() == (places.max(axis=0) + 1).tolist()
        edge = (places == 0).any() or (places == np.array(labels.shape) - 1).any()
        assert table.touches_border[row] == edge


def test_a_volume_is_measured_in_little_memory() -> None:
    labels = np.ones((512, 32, 32), np.uint32)
    with patch.object(objects, "_SLAB", 2**12):
        tracemalloc.start()
        measure(labels)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < labels.nbytes


@pytest.mark.parametrize("objects", [3, 70_000])
def test_labels_that_are_copied_by_sections_are_the_file_that_is_written_at_once(
    tmp_path: Path, objects: int
) -> None:
    found = np.random.default_rng(0).integers(0, objects, (40, 17, 19)).astype(np.uint32)
    found[0, 0, 0] = objects
    voxel = Voxel(z=40.0, y=8.0, x=8.0)
    write_labels(tmp_path / "whole.tif", found, voxel=voxel)
    copy_labels(tmp_path / "copied.tif", found, label_type(found), voxel=voxel)
    assert (tmp_path / "copied.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
