"""Folders of images and the labels that go with them."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Array, Voxel
from morula.data import list_images, load_records, open_volume
from morula.data.aperio import read_aperio
from morula.data.coco import read_coco
from morula.data.points import read_points_csv, read_points_hdf5

SQUARE = np.zeros((20, 24), np.uint8)
SQUARE[2:8, 3:9] = 1


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("c10", "c2", "c1"):
        Image.fromarray(np.zeros((20, 24), np.uint8)).save(folder / f"{name}.png")
    return folder


def write_json(path: Path, **document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def coco_of(
    path: Path, segmentation: object, *, name: str = "c1.png", shape: tuple[int, int] = (20, 24)
) -> Path:
    picture = {"id": 5, "file_name": name, "height": shape[0], "width": shape[1]}
    return write_json(
        path, images=[picture], annotations=[{"id": 1, "image_id": 5, "segmentation": segmentation}]
    )


def labels_of(images: Path, labels: Path, name: str = "c1") -> Array:
    records, _ = load_records(images, labels)
    (record,) = [record for record in records if record.id == name]
    assert record.labels is not None
    return record.labels()


def test_natural_order_without_hidden_files(images: Path) -> None:
    (images / ".hidden.png").write_bytes(b"")
    (images / "__MACOSX").mkdir()
    (images / "notes.txt").write_text("x")
    assert [path.name for path in list_images(images)] == ["c1.png", "c2.png", "c10.png"]
    assert list_images(images / "c2.png") == [images / "c2.png"]


def test_an_empty_folder_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        list_images(tmp_path)
    (tmp_path / "a.czi").write_bytes(b"x")
    with pytest.raises(DataError, match=r"only \.czi files"):
        list_images(tmp_path)
    (tmp_path / "deep").mkdir()
    with pytest.raises(DataError, match="subfolders deep"):
        list_images(tmp_path)


def test_images_without_labels_stay(images: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "c2.tif", SQUARE)
    records, errors = load_records(images, tmp_path / "labels", voxel=Voxel(y=250.0, x=250.0))
    assert errors == []
    assert [(record.id, record.is_labelled, record.group) for record in records] == [
        ("c1", False, "c1"),
        ("c2", True, "c2"),
        ("c10", False, "c10"),
    ]
    assert all(record.image.voxel == Voxel(y=250.0, x=250.0) for record in records)


def test_a_pair_of_different_sizes_names_both(images: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "c2.tif", SQUARE[:-1])
    with pytest.raises(DataError, match=r"c2\.tif: labels of 19 x 24, but .*c2\.png is 20 x 24"):
        load_records(images, tmp_path / "labels")
    records, errors = load_records(images, tmp_path / "labels", skip_bad=True)
    assert (len(records), len(errors)) == (2, 1)


def test_two_labels_of_one_name(images: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "c2.tif", SQUARE)
    Image.fromarray(SQUARE).save(tmp_path / "labels" / "c2.png")
    with pytest.raises(DataError, match="labels for c2"):
        load_records(images, tmp_path / "labels")


@pytest.mark.parametrize("inner", ["masks", "."])
def test_one_mask_an_object(inner: str, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "c1" / inner
    folder.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.roll(SQUARE, 6 * number, axis=1) * 255).save(folder / f"{number}.png")
    assert np.bincount(labels_of(images, tmp_path / "labels").ravel()).tolist()[1:] == [36, 36, 36]


def test_records_travel_to_worker_processes(images: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "c1.tif", SQUARE)
    (record, *_), _ = load_records(images, tmp_path / "labels")
    copy = pickle.loads(pickle.dumps(record))
    np.testing.assert_array_equal(copy.labels(), SQUARE)
    np.testing.assert_array_equal(copy.image.read(), record.image.read())


def test_decoded_pixels_are_shared_and_freed(images: Path) -> None:
    volume = open_volume(images / "c1.png")
    held = volume.read()
    assert np.shares_memory(volume.read(), held)
    assert np.shares_memory(volume[2:4], held)


SEGMENTATIONS = {
    "polygon": [[3, 2, 9, 2, 9, 8, 3, 8]],
    "run lengths": {"size": [20, 24], "counts": [62, 6, 14, 6, 14, 6, 14, 6, 14, 6, 14, 6, 312]},
}


@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_coco(kind: str, images: Path, tmp_path: Path) -> None:
    labels = labels_of(images, coco_of(tmp_path / "coco.json", SEGMENTATIONS[kind]))
    np.testing.assert_array_equal(labels, SQUARE)


def test_images_that_coco_lists_without_an_object_are_not_drawn_yet(images: Path, tmp_path: Path) -> None:
    pictures = [{"id": n, "file_name": f"c{n}.png", "height": 20, "width": 24} for n in (1, 2, 10)]
    cell = {"id": 1, "image_id": 2, "segmentation": SEGMENTATIONS["polygon"]}
    path = write_json(tmp_path / "coco.json", images=pictures, annotations=[cell])
    assert [each.id for each in load_records(images, path)[0] if each.is_labelled] == ["c2"]


def test_coco_annotations_by_id_and_images_listed_twice(tmp_path: Path) -> None:
    picture = {"file_name": "deep/c1.png", "height": 20, "width": 24}
    cell = {"image_id": 2, "segmentation": SEGMENTATIONS["polygon"]}
    crowd = {**cell, "iscrowd": 1}
    path = write_json(
        tmp_path / "coco.json",
        images=[{"id": 1, **picture}, {"id": 2, **picture}, {"id": 3, **picture}],
        annotations={"7": cell, "8": crowd, "9": {**cell, "image_id": 3}},
    )
    assert len(read_coco(path)["c1"].segmentations) == 1


def test_polygons_take_little_memory(tmp_path: Path) -> None:
    """LIVECell has 1.6 million of them."""
    corners = np.random.default_rng(0).uniform(0, 20, (500, 80)).round(2).tolist()
    picture = {"id": 1, "file_name": "c1.png", "height": 20, "width": 24}
    cells = [{"image_id": 1, "segmentation": [each]} for each in corners]
    path = write_json(tmp_path / "coco.json", images=[picture], annotations=cells)
    read_coco(path)  # what is imported on the way does not count
    tracemalloc.start()
    entry = read_coco(path)["c1"]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [list(part) for (part,) in entry.segmentations] == corners
    assert held < 500 * 80 * 16


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, "x", 4, 5, 6]],
        {"size": [20, 24], "counts": [1, 2]},
        {"size": [20, 24], "counts": "zzzzzz"},
        {"size": [9, 9], "counts": [81]},
        {"counts": [480]},
    ],
)
def test_coco_that_cannot_be_drawn(segmentation: object, images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"coco\.json.*c1\.png"):
        load_records(images, coco_of(tmp_path / "coco.json", segmentation))


def test_coco_of_other_images(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without an image: other"):
        load_records(images, coco_of(tmp_path / "coco.json", [], name="other.png"))
    with pytest.raises(DataError, match="30 x 24"):
        load_records(images, coco_of(tmp_path / "coco.json", SEGMENTATIONS["polygon"], shape=(30, 24)))


@pytest.mark.parametrize("text", ["", "[]", "no", '{"images": [{}], "annotations": []}', '{"images": 3}'])
def test_json_that_is_not_coco(text: str, images: Path, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(DataError, match=r"coco\.json"):
        load_records(images, tmp_path / "coco.json")


def aperio(*polygons: list[tuple[object, object]]) -> str:
    regions = "".join(
        "<Region>" + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in polygon) + "</Region>"
        for polygon in polygons
    )
    return f"<Annotations>{regions}</Annotations>"


def test_aperio_first_region_wins_and_outlines_are_clipped(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    wide = [(-5, 4), (40, 4), (40, 12), (-5, 12)]
    path.write_text(aperio([(3, 2), (8, 2), (8, 7), (3, 7)], [(4, 3), (6, 3), (6, 5)], wide))
    labels = read_aperio(path, (20, 24))
    assert labels[4, 5] == 1
    assert labels[10, 0] == labels[10, 23] == 2  # the hidden second region takes no number
    assert labels.max() == 2
    assert not labels[13:].any()


@pytest.mark.parametrize("vertex", [("x", 1), ("nan", 1), ("inf", 2)])
def test_aperio_without_numbers(vertex: tuple[object, object], tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(aperio([(1, 1), (2, 2), vertex]))
    with pytest.raises(DataError, match="numbers for X and Y"):
        read_aperio(tmp_path / "a.xml", (20, 24))


def test_points_that_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column x, y, label"):
        read_points_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("x,y,label\n1,,positive\n")
    with pytest.raises(DataError, match="line 2"):
        read_points_csv(tmp_path / "b.csv")
    for name, content in {"other": np.zeros(3), "coordinates": np.zeros((3, 3))}.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file[name] = content
        with pytest.raises(DataError, match=rf"{name}\.h5"):
            read_points_hdf5(tmp_path / f"{name}.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(DataError, match=r"text\.h5"):
        read_points_hdf5(tmp_path / "text.h5")
