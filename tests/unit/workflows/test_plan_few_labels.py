"""Which recipe labels lead to, and what is refused before anything starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import morula
from morula.core.errors import DataError, MorulaError, UsageError
from morula.core.types import Array
from synthetic import save_folder


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_folder(tmp_path_factory.mktemp("fields"), 3, size=96, count=8)


def some(labels: Path, folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(labels / f"{name}.png", folder)
    return folder


def coco(path: Path, *, ids: tuple[int, ...] = (1, 7), as_dict: bool = False) -> Path:
    """Three images, the first with annotations that overlap, leave it or are flat, of two categories."""
    corners = [(5, 20), (15, 30), (90, 120)]
    squares = [[low, low, high, low, high, high, low, high] for low, high in corners]
    flat = [40, 40, 40, 40, 40, 40]  # no area
    rows = [
        {"id": n, "image_id": 0, "category_id": ids[n % 2], "segmentation": [each], "iscrowd": 0}
        for n, each in enumerate([*squares, flat])
    ]
    images = [{"id": n, "file_name": f"cells{n}.png", "height": 96, "width": 96} for n in range(3)]
    categories = [{"id": each, "name": str(each)} for each in ids]
    annotations = {str(row["id"]): row for row in rows} if as_dict else rows
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return path


def test_labels_of_some_images_train(fields: tuple[Path, Path], tmp_path: Path) -> None:
    made = morula.plan(fields[0], labels=some(fields[1], tmp_path / "few", "cells1"))
    assert made.recipe == "cupre"
    assert made.facts["labelled"] == made.facts["with_objects"] == 1
    assert any("cannot measure" in reason for reason in made.reasons)


def test_labels_of_all_images_measure_unless_asked_otherwise(fields: tuple[Path, Path]) -> None:
    made = morula.plan(fields[0], labels=fields[1])
    assert made.recipe == "psm"
    assert any("--recipe cupre" in reason for reason in made.reasons)
    assert morula.plan(fields[0], labels=fields[1], recipe="cupre").recipe == "cupre"


def test_without_labels_nothing_changes(fields: tuple[Path, Path]) -> None:
    assert morula.plan(fields[0]).recipe == "psm"


def test_psm_measures_with_labels_of_some_when_asked(fields: tuple[Path, Path], tmp_path: Path) -> None:
    few = some(fields[1], tmp_path / "few", "cells1")
    assert morula.plan(fields[0], labels=few, recipe="psm").recipe == "psm"


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_coco_file_that_is_not_tidy_is_read_as_documented(
    fields: tuple[Path, Path], tmp_path: Path, as_dict: bool
) -> None:
    made = morula.plan(fields[0], labels=coco(tmp_path / "few.json", as_dict=as_dict), recipe="cupre")
    assert made.facts["with_objects"] == 1
    labels = next(record.labels for record in made.records if record.id == "cells0")
    assert labels is not None
    found = labels()
    assert sorted(np.unique(found)) == [0, 1, 2, 3]  # the flat polygon is no object
    assert found[18, 18] == 1  # where two overlap the first wins
    assert found[95, 95] == 3  # what lies outside is cut off


def test_three_thousand_objects_are_as_good_as_three(tmp_path: Path) -> None:
    y, x = np.mgrid[:448, :448]
    labels: Array = np.where((y % 8 < 5) & (x % 8 < 5), (y // 8) * 56 + x // 8 + 1, 0).astype(np.uint16)
    images, few = tmp_path / "images", tmp_path / "few"
    images.mkdir()
    few.mkdir()
    for name in "ab":
        Image.fromarray(np.where(labels > 0, 200, 20).astype(np.uint8)).save(images / f"{name}.png")
    Image.fromarray(labels).save(few / "a.png")
    made = morula.plan(images, labels=few)
    assert made.recipe == "cupre"
    assert made.records[0].labels is not None
    assert made.records[0].labels().max() == 3136


def empty(folder: Path) -> Path:
    folder.mkdir()
    Image.fromarray(np.zeros((96, 96), np.uint16)).save(folder / "cells0.png")
    return folder


def test_what_cannot_teach_is_refused(fields: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 labelled images has an object"):
        morula.plan(fields[0], labels=empty(tmp_path / "empty"))
    with pytest.raises(UsageError, match="none are named"):
        morula.plan(fields[0], recipe="cupre")
    stranger = some(fields[1], tmp_path / "stranger", "cells0")
    shutil.copy(fields[1] / "cells1.png", stranger / "nobody.png")
    with pytest.raises(DataError, match="labels without an image: nobody"):
        morula.plan(fields[0], labels=stranger)


def test_a_wrong_preset_is_told_for_the_recipe_that_labels_lead_to(
    fields: tuple[Path, Path], tmp_path: Path
) -> None:
    few = some(fields[1], tmp_path / "few", "cells1")
    with pytest.raises(MorulaError, match="cupre has no preset 'coded'"):
        morula.plan(fields[0], labels=few, preset="coded")
    assert morula.plan(fields[0], labels=few, preset="scratch").config.preset == "scratch"  # type: ignore[attr-defined]
