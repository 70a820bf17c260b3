"""LIVECell and COCO: each rule of their loaders on small files in the real layout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError, UsageError
from morula.core.rng import Rng
from morula.data.budget import few_shot
from morula.data.sets import coco, livecell
from set_files import labels_of

SHAPE = (20, 24)
A172 = "A172_Phase_B7_1_00d00h00m_1"
HUH7 = "Huh7_Phase_A11_2_01d20h00m_4"
TRAIN, TEST = "images/livecell_train_val_images", "images/livecell_test_images"
TRAIN_JSON = "annotations/LIVECell/livecell_coco_train.json"
VAL_JSON = "annotations/LIVECell/livecell_coco_val.json"


def tif(path: Path, value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full(SHAPE, value, np.uint8))


def jpg(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SHAPE, 3), 100, np.uint8)).save(path)


def cell(image: int, x: int, **more: Any) -> dict[str, Any]:
    """Six pixels wide and high, its left edge at `x`."""
    corners = [x, 2, x + 6, 2, x + 6, 8, x, 8]
    return {"image_id": image, "category_id": 1, "iscrowd": 0, "segmentation": [corners], **more}


def write_coco(path: Path, names: Iterable[str], cells: list[dict[str, Any]], *, by_id: bool = False) -> None:
    """Images are numbered from 1 in the order of `names`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": number, "file_name": name, "height": SHAPE[0], "width": SHAPE[1]}
        for number, name in enumerate(names, start=1)
    ]
    annotations = {str(number): each for number, each in enumerate(cells)} if by_id else cells
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))


LAYOUTS: dict[str, Callable[[str], str]] = {
    "nested": lambda name: f"{TRAIN}/{livecell.cell_type(name)}/{name}.tif",
    "flat": lambda name: f"{TRAIN}/{name}.tif",
    "one folder": lambda name: f"{name}.tif",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("by_id", [True, False])
def test_livecell(layout: str, by_id: bool, tmp_path: Path) -> None:
    for name in (HUH7, A172):
        tif(tmp_path / LAYOUTS[layout](name))
    cells = [cell(1, 2), cell(2, 2), cell(2, 10)]
    write_coco(tmp_path / TRAIN_JSON, [f"{HUH7}.tif", f"{A172}.tif"], cells, by_id=by_id)
    first, second = livecell.records(tmp_path, "train")
    assert (first.id, second.id) == (A172, HUH7)
    assert (first.group, second.group) == ("A172_Phase_B7", "Huh7_Phase_A11")
    assert (first.image.axes.order, first.image.shape) == ("yx", SHAPE)
    assert np.bincount(labels_of(first).ravel()).tolist() == [480 - 72, 36, 36]
    assert np.bincount(labels_of(second).ravel()).tolist() == [480 - 36, 36]
    assert labels_of(second)[2:8, 2:8].all()


def test_an_image_that_livecell_lists_twice_is_one(tmp_path: Path) -> None:
    tif(tmp_path / f"{HUH7}.tif")
    cells = [cell(2, 2), cell(3, 2), cell(3, 10)]
    write_coco(tmp_path / TRAIN_JSON, [f"{HUH7}.tif"] * 3, cells)
    (record,) = livecell.records(tmp_path, "train")
    assert labels_of(record).max() == 1


def test_of_one_name_in_several_folders_the_published_place_counts(tmp_path: Path) -> None:
    for value, folder in enumerate((TRAIN, f"{TRAIN}/A172", f"{TRAIN}/Huh7", f"{TEST}/A172"), start=1):
        tif(tmp_path / folder / f"{A172}.tif", value)
    write_coco(tmp_path / TRAIN_JSON, [f"{A172}.tif"], [cell(1, 2)])
    write_coco(tmp_path / "livecell_coco_test.json", [f"{A172}.tif"], [cell(1, 2)])
    (train,) = livecell.records(tmp_path, "train")
    (test,) = livecell.records(tmp_path, "test")
    assert (train.image.read().max(), test.image.read().max()) == (2, 4)


def test_file_names_with_folders_keep_images_of_one_name_apart(tmp_path: Path) -> None:
    names = [f"{folder}/{A172}.tif" for folder in ("day1", "day2")]
    for value, name in enumerate(names, start=1):
        tif(tmp_path / "images" / name, value)
    write_coco(tmp_path / TRAIN_JSON, names, [cell(1, 2), cell(2, 2), cell(2, 10)])
    records = livecell.records(tmp_path, "train")
    assert [record.id for record in records] == [f"day1_{A172}", f"day2_{A172}"]
    assert [record.image.read().max() for record in records] == [1, 2]
    assert [labels_of(record).max() for record in records] == [1, 2]


def test_known_bad_images_are_left_out(tmp_path: Path) -> None:
    names = [f"{name}.tif" for name in (*livecell.LEFT_OUT, A172)]
    for name in names:
        tif(tmp_path / name)
    write_coco(tmp_path / TRAIN_JSON, names, [cell(number, 2) for number in range(1, len(names) + 1)])
    assert [record.id for record in livecell.records(tmp_path, "train")] == [A172]
    assert len(livecell.records(tmp_path, "train", clean=False)) == len(names)
    for reason, count in Counter(livecell.LEFT_OUT.values()).items():
        assert f"{count} " in livecell.SET.notes.split(reason)[0][-30:]


@pytest.mark.parametrize(
    ("split", "files"), [("val", [TRAIN_JSON, VAL_JSON]), ("a172-val", ["a172/train.json", "a172/val.json"])]
)
def test_images_of_val_that_are_in_train_are_left_out(split: str, files: list[str], tmp_path: Path) -> None:
    for name in (HUH7, A172):
        tif(tmp_path / f"{name}.tif")
    write_coco(tmp_path / files[0], [f"{HUH7}.tif"], [cell(1, 2)])
    write_coco(tmp_path / files[1], [f"{HUH7}.tif", f"{A172}.tif"], [cell(1, 2), cell(2, 2)])
    assert [record.id for record in livecell.records(tmp_path, split)] == [A172]
    assert [record.id for record in livecell.records(tmp_path, split, clean=False)] == [A172, HUH7]
    (tmp_path / files[0]).unlink()
    with pytest.raises(DataError, match="train"):
        livecell.records(tmp_path, split)


@pytest.mark.parametrize(
    ("split", "file"),
    [
        ("train-2percent", "annotations/LIVECell_dataset_size_split/0_train2percent.json"),
        ("train-4percent", "1_train4percent.json"),
        ("train-5percent", "2_train5percent.json"),
        ("train-25percent", "3_train25percent.json"),
        ("train-50percent", "4_train50percent.json"),
        ("skbr3-train", "annotations/LIVECell_single_cells/skbr3/train.json"),
        ("shsy5y-test", "shsy5y_test.json"),
    ],
)
def test_official_splits_of_livecell(split: str, file: str, tmp_path: Path) -> None:
    for folder in (TRAIN, TEST):
        tif(tmp_path / folder / f"{A172}.tif")
    write_coco(tmp_path / file, [f"{A172}.tif"], [cell(1, 2)])
    write_coco(tmp_path / "annotations/LIVECell_single_cells/a172/train.json", ["other.tif"], [cell(1, 2)])
    (record,) = livecell.records(tmp_path, split)
    assert record.id == A172
    assert ("test" in split) == ("test_images" in record.image.uri)


def test_livecell_has_three_parts_five_shares_and_the_parts_of_eight_types() -> None:
    assert len(set(livecell.SET.splits)) == 3 + 5 + 3 * 8
    assert len({file.filename for file in livecell.SET.files}) == 1 + len(livecell.SET.splits)


def test_an_image_without_outlines_is_unlabelled(tmp_path: Path) -> None:
    for name in (HUH7, A172):
        tif(tmp_path / f"{name}.tif")
    write_coco(tmp_path / TRAIN_JSON, [f"{HUH7}.tif", f"{A172}.tif"], [cell(2, 2)])
    assert [record.is_labelled for record in livecell.records(tmp_path, "train")] == [True, False]


def test_few_labels_of_livecell_hold_all_cell_types_and_are_nested(tmp_path: Path) -> None:
    names = [f"{each}_Phase_A1_1_00d00h00m_{number}.tif" for each in livecell.CELL_TYPES for number in (1, 2)]
    for name in names:
        tif(tmp_path / name)
    write_coco(tmp_path / TRAIN_JSON, names, [cell(number, 2) for number in range(1, 17)])
    types = {each.id: livecell.cell_type(each.id) for each in livecell.records(tmp_path, "train")}
    eight = few_shot(types, 8, Rng(0))
    assert sorted(types[name] for name in eight) == sorted(livecell.CELL_TYPES)
    assert few_shot(types, 3, Rng(0)) == eight[:3]
    assert few_shot(types, 8, Rng(1)) != eight


def good_livecell(root: Path) -> None:
    tif(root / TRAIN / "A172" / f"{A172}.tif")
    tif(root / TRAIN / "Huh7" / f"{HUH7}.tif")
    write_coco(root / TRAIN_JSON, [f"{A172}.tif", f"{HUH7}.tif"], [cell(1, 2)])


def cut_short(path: Path) -> None:
    path.write_text(path.read_text()[:-40])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no annotations": (lambda root: (root / TRAIN_JSON).unlink(), r"livecell_coco_train\.json.*data get"),
    "annotations cut short": (
        lambda root: cut_short(root / TRAIN_JSON),
        r"livecell_coco_train\.json: damaged",
    ),
    "no object": (lambda root: write_coco(root / TRAIN_JSON, [f"{A172}.tif"], []), "no image has an object"),
    "no file name": (lambda root: write_coco(root / TRAIN_JSON, [""], [cell(1, 2)]), "not COCO"),
    "an image is missing": (
        lambda root: (root / TRAIN / "Huh7" / f"{HUH7}.tif").unlink(),
        rf"1 of 2 images are missing \({HUH7}\.tif\).*data get livecell",
    ),
    "no image": (
        lambda root: [path.unlink() for path in root.rglob("*.tif")],
        rf"no image, such as {A172}\.tif,.*data get livecell",
    ),
    "two of one name": (
        lambda root: tif(root / "copy" / TRAIN / "A172" / f"{A172}.tif"),
        rf"{A172}\.tif: an image of the same name as .*{A172}\.tif",
    ),
    "a damaged image": (
        lambda root: (root / TRAIN / "A172" / f"{A172}.tif").write_bytes(b"II*\0"),
        rf"{A172}\.tif: damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_livecell(name: str, tmp_path: Path) -> None:
    good_livecell(tmp_path)
    assert len(livecell.records(tmp_path, "train")) == 2
    spoil, told = BAD[name]
    spoil(tmp_path)
    with pytest.raises(DataError, match=told):
        livecell.records(tmp_path, "train")


def test_annotations_of_another_size_are_refused(tmp_path: Path) -> None:
    good_livecell(tmp_path)
    tifffile.imwrite(tmp_path / TRAIN / "A172" / f"{A172}.tif", np.zeros((30, 24), np.uint8))
    record, _ = livecell.records(tmp_path, "train")
    with pytest.raises(DataError, match=rf"{A172}.*labels of 20 x 24, but the image .* is 30 x 24"):
        labels_of(record)


def test_livecell_has_no_other_splits(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train-2percent"):
        livecell.records(tmp_path, "train-3percent")


PHOTOS = ("000000000139.jpg", "000000000285.jpg", "000000000632.jpg")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The first has two objects, the second a crowd, the third nothing."""
    root = tmp_path / "coco"
    for name in PHOTOS:
        jpg(root / "val2017" / "val2017" / name)
        jpg(root / "train2017" / "train2017" / name)
    crowd = cell(2, 2, iscrowd=1, segmentation={"size": list(SHAPE), "counts": [480]})
    folder = root / "annotations_trainval2017" / "annotations"
    cells = [cell(1, 2, category_id=62), cell(1, 10, category_id=1), crowd]
    write_coco(folder / "instances_val2017.json", PHOTOS, cells)
    return root


def test_coco(photos: Path) -> None:
    records = coco.records(photos, "val2017")
    assert [record.id for record in records] == [Path(name).stem for name in PHOTOS]
    assert all("/val2017/" in record.image.uri and record.image.is_rgb for record in records)
    assert [labels_of(record).max() for record in records] == [2, 0, 0]


@pytest.mark.parametrize(
    "line", ["000000000285.jpg", "./images/val2017/000000000285.jpg", "285", "  285\n\n"]
)
def test_a_subset_of_coco(line: str, photos: Path, tmp_path: Path) -> None:
    for name in (PHOTOS[0], PHOTOS[2]):
        (photos / "val2017" / "val2017" / name).unlink()
        (photos / "train2017" / "train2017" / name).unlink()
    (tmp_path / "subset.txt").write_text(line)
    (record,) = coco.records(photos, "val2017", subset=tmp_path / "subset.txt")
    assert record.id == "000000000285"
    with pytest.raises(DataError, match="2 of 3 images are missing"):
        coco.records(photos, "val2017")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"139\n999\n", r"1 images that val2017 does not have \(999\)"),
        (b"139\n\n1390\n13\n", r"2 images that val2017 does not have \(13\)"),
        (b"\n\n", "no image is named"),
        (b"", "empty"),
        (b"\xff\xfe\xfa", "text file"),
        (None, "no such file"),
    ],
)
def test_a_bad_subset_of_coco(content: bytes | None, told: str, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "subset.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"subset\.txt: .*{told}"):
        coco.records(photos, "val2017", subset=path)


def test_coco_that_is_not_there(photos: Path) -> None:
    with pytest.raises(DataError, match=r"instances_train2017\.json.*data get coco"):
        coco.records(photos, "train2017")
    with pytest.raises(UsageError, match="val2017"):
        coco.records(photos, "test2017")
