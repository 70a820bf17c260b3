"""The nuclei of the 2018 Data Science Bowl: each rule of the loader on small files in the real layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.core.rng import Rng
from morula.core.types import Array
from morula.data.budget import few_shot
from morula.data.modality import modality
from morula.data.sets import bbbc038
from set_files import labels_of, write_png


def rgba(ground: tuple[int, int, int], nucleus: tuple[int, int, int]) -> Array:
    image = np.full((32, 32, 4), (*ground, 255), np.uint8)
    image[4:12, 4:12, :3] = nucleus
    return image


FLUORESCENCE = rgba((10, 10, 10), (200, 200, 200))
TISSUE = rgba((230, 170, 220), (150, 60, 140))


def square(x: int) -> Array:
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, x : x + 8] = 255
    return mask


def solve(root: Path, *rows: str) -> None:
    table = ["ImageId,EncodedPixels,Height,Width,Usage", *(f"{row},32,32,Public" for row in rows)]
    (root / "stage1_solution.csv").write_text("\n".join(table))


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    """Dark fluorescence with grey RGBA values, and stained tissue; one mask overlaps another."""
    root = tmp_path / "bbbc038"
    for number in range(6):
        name = f"f{number}" if number < 4 else f"t{number}"
        image = FLUORESCENCE if number < 4 else TISSUE
        write_png(root / "stage1_train" / name / "images" / f"{name}.png", image)
        write_png(root / "stage1_train" / name / "masks" / "a.png", square(4))
        write_png(root / "stage1_train" / name / "masks" / "b.png", square(8))
    for name in ("b1", "b2"):
        write_png(root / "stage1_test" / name / "images" / f"{name}.png", FLUORESCENCE)
    solve(root, "b1,1 3", "b1,3 2", "b2,")
    return root


def test_alpha_is_dropped_and_overlapping_nuclei_keep_the_first(nuclei: Path) -> None:
    records = bbbc038.records(nuclei, "stage1_train")
    assert {record.image.shape for record in records} == {(3, 32, 32)}
    assert [modality(record.image.read_yxc()) for record in records] == ["fluorescence"] * 4 + ["H&E"] * 2
    assert np.bincount(labels_of(records[0]).ravel()).tolist() == [1024 - 96, 64, 32]
    overlapping, empty = bbbc038.records(nuclei, "stage1_test")
    assert labels_of(overlapping)[:5, 0].tolist() == [1, 1, 1, 2, 0]
    assert labels_of(empty).max() == 0


def test_few_labels_of_bbbc038_hold_all_modalities_and_are_nested(nuclei: Path) -> None:
    records = bbbc038.records(nuclei, "stage1_train")
    kinds = {record.id: modality(record.image.read_yxc()) for record in records}
    three = few_shot(kinds, 3, Rng(0))
    assert Counter(kinds[name] for name in three) == {"fluorescence": 2, "H&E": 1}
    assert few_shot(kinds, 2, Rng(0)) == three[:2]


SPOILT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no solution": ("stage1_test", lambda root: (root / "stage1_solution.csv").unlink(), "no such file"),
    "other columns": (
        "stage1_test",
        lambda root: (root / "stage1_solution.csv").write_text("a,b\n1,2\n"),
        "the columns a, b",
    ),
    "no images": ("stage2_test", lambda root: None, r"stage2_test_final/\*/images.*data get bbbc038"),
    "a run outside": (
        "stage1_test",
        lambda root: solve(root, "b1,1020 6"),
        r"\(b1\).*leaves the image of 32 x 32",
    ),
    "an odd run": ("stage1_test", lambda root: solve(root, "b1,1 2 3"), r"\(b1\).*not pairs"),
    "no run": ("stage1_test", lambda root: solve(root, "b1,one"), r"\(b1\).*not numbers"),
    "a mask of another size": (
        "stage1_train",
        lambda root: write_png(root / "stage1_train/f0/masks/a.png", square(4)[:16]),
        r"a\.png: a mask of 16 x 32 for an image of 32 x 32",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_bbbc038(name: str, nuclei: Path) -> None:
    split, spoil, told = SPOILT[name]
    spoil(nuclei)
    with pytest.raises(DataError, match=told):
        labels_of(bbbc038.records(nuclei, split)[0])
