"""BBBC038, the 2018 Data Science Bowl: nuclei in fluorescence, bright field and stained tissue."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Record
from morula.data.open import open_volume
from morula.data.pairing import read_object_masks
from morula.data.reading import reading
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["SET", "decode_runs", "records"]

_BASE = "https://data.broadinstitute.org/bbbc/BBBC038/"

SET = PublicSet(
    name="bbbc038",
    title="BBBC038v1: nuclei of the 2018 Data Science Bowl",
    files=tuple(
        SetFile(_BASE + name, None, name)
        for name in (
            "stage1_train.zip",
            "stage1_test.zip",
            "stage1_solution.csv",
            "stage2_test_final.zip",
            "stage2_solution_final.csv",
        )
    ),
    licence="CC0",
    citation="Caicedo et al., Nature Methods 16:1247 (2019)",
    homepage="https://bbbc.broadinstitute.org/BBBC038",
    splits=("stage1_train", "stage1_test", "stage2_test"),
    notes=(
        "No published checksums (UNVERIFIED): the first download is trusted, and its SHA-256 kept to notice "
        "a later change. Images that the stage 2 solution marks as ignored are left out."
    ),
)

_FOLDERS = {"stage1_train": "stage1_train", "stage1_test": "stage1_test", "stage2_test": "stage2_test_final"}
_SOLUTIONS = {"stage1_test": "stage1_solution.csv", "stage2_test": "stage2_solution_final.csv"}


@dataclass(frozen=True)
class _Masks:
    paths: tuple[Path, ...]
    shape: tuple[int, int]

    def __call__(self) -> Array:
        return read_object_masks(self.paths, self.shape)


@dataclass(frozen=True)
class _Runs:
    where: str
    codes: tuple[str, ...]
    shape: tuple[int, int]

    def __call__(self) -> Array:
        labels = np.zeros(self.shape, np.int32)
        number = 0
        for code in self.codes:
            free = decode_runs(code, self.shape, where=self.where) & (labels == 0)
            if free.any():
                number += 1
                labels[free] = number
        return labels


def records(root: Path, split: str) -> list[Record]:
    """The images of one split with their instance labels.

    Args:
        root: folder of the set: each archive in a folder of its own, the solution tables beside them.
        split: `stage1_train`, `stage1_test` or `stage2_test`.

    Raises:
        UsageError: there is no such split.
        DataError: the images or their solution are not there.
    """
    chosen(SET, split)
    folder = root / _FOLDERS[split]
    images = inside(folder, "images/*.png")
    if not images:
        raise not_found(SET, root, f"{folder.name}/*/images/*.png")
    if split == "stage1_train":
        return [_from_masks(path) for path in images]
    table = root / _SOLUTIONS[split]
    solution, ignored = _solution(table)
    kept = [path for path in images if path.stem not in ignored]
    return [_from_runs(path, table, solution) for path in kept]


def decode_runs(code: str, shape: tuple[int, int], *, where: str) -> Array:
    """Kaggle's run lengths, pairs of start and length counted from 1 down the columns, as a mask `(y, x)`.

    Args:
        code: the numbers, separated by blanks.
        shape: height and width of the image.
        where: what to name in an error.

    Raises:
        DataError: not pairs of numbers, or a run that leaves the image.

    >>> decode_runs("2 1 3 2", (2, 2), where="doc").astype(int).tolist()
    [[0, 1], [1, 1]]
    """
    fix = "download the solution again"
    try:
        numbers = np.array([int(each) for each in code.split()], np.int64)
    except ValueError as error:
        raise DataError(where, f"run lengths that are not numbers ({error})", fix) from error
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    height, width = shape
    if len(starts) != len(lengths) or (starts < 0).any() or (lengths < 0).any():
        raise DataError(where, "run lengths that are not pairs of start and length", fix)
    if (starts + lengths > height * width).any():
        raise DataError(where, f"a run that leaves the image of {height} x {width} pixels", fix)
    flat = np.zeros(height * width, bool)
    for start, length in zip(starts, lengths, strict=True):
        flat[start : start + length] = True
    return flat.reshape((height, width), order="F")


def _from_masks(path: Path) -> Record:
    masks = tuple(inside(path.parents[1] / "masks", "*.png"))
    image = open_volume(path)
    height, width = image.spatial_shape
    return Record(path.stem, image, _Masks(masks, (height, width)) if masks else None, group=path.stem)


def _from_runs(path: Path, table: Path, solution: dict[str, list[str]]) -> Record:
    image = open_volume(path)
    height, width = image.spatial_shape
    codes = solution.get(path.stem)
    labels = _Runs(f"{table} ({path.stem})", tuple(codes), (height, width)) if codes is not None else None
    return Record(path.stem, image, labels, group=path.stem)


def _solution(table: Path) -> tuple[dict[str, list[str]], set[str]]:
    """Run lengths of each image, and the images that are not scored."""
    if not table.is_file():
        raise DataError(table, "no such file", f"run `morula data get {SET.name}`")
    with reading(table, "CSV table"), table.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    if rows and not {"ImageId", "EncodedPixels"} <= set(rows[0]):
        raise DataError(table, f"the columns {', '.join(rows[0])}", "download the solution again")
    ignored = {row["ImageId"] for row in rows if (row.get("Usage") or "").strip().lower() == "ignored"}
    runs: dict[str, list[str]] = {}
    for row in rows:
        if row["ImageId"] not in ignored:
            codes = runs.setdefault(row["ImageId"], [])
            codes.extend([row["EncodedPixels"]] if (row["EncodedPixels"] or "").strip() else [])
    return runs, ignored
