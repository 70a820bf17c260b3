"""Point annotations: one place and one class a cell, from BCData's HDF5 files or from a table."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from morula.core.errors import DataError
from morula.core.files import atomic_path
from morula.core.types import Array
from morula.data.reading import check_file, reading

__all__ = ["Points", "read_points_csv", "read_points_hdf5", "write_points_csv"]

_KEYS = ("coordinates", "coordinate")
_COLUMNS = ("x", "y", "label")


@dataclass(frozen=True)
class Points:
    """Cells marked by one point each.

    Attributes:
        yx: `(n, 2)` float64, row and column in pixels.
        classes: class name of each point.
    """

    yx: Array
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.yx.shape != (len(self.classes), 2):
            raise ValueError(f"points of shape {self.yx.shape} for {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.classes)

    def of(self, name: str) -> Array:
        """The points `(n, 2)` of one class."""
        return self.yx[np.array([each == name for each in self.classes], dtype=bool)]


def read_points_hdf5(path: str | PathLike[str]) -> Array:
    """Points of a BCData HDF5 file, stored as x, y under `coordinates`.

    Returns:
        `(n, 2)` float64 as y, x; n may be 0.

    Raises:
        DataError: not HDF5, no such data set, or not `(n, 2)` finite numbers.
    """
    path = Path(path)
    check_file(path, "HDF5")
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        key = next((name for name in _KEYS if name in file), None)
        found = ", ".join(file) or "nothing"
        dataset = file[key] if key is not None else None
        stored = np.asarray(dataset[()]) if isinstance(dataset, h5py.Dataset) else None
    if stored is None:
        raise DataError(path, f"no data set `coordinates`, only {found}", "store x, y of each cell under it")
    if stored.size == 0:
        return np.zeros((0, 2))
    if stored.ndim != 2 or stored.shape[1] != 2 or stored.dtype.kind not in "uif":
        found = f"coordinates of shape {stored.shape} and type {stored.dtype}"
        raise DataError(path, found, "store one row x, y for each cell")
    points = stored[:, ::-1].astype(np.float64)
    if not np.isfinite(points).all():
        raise DataError(path, "coordinates that are not finite", "store one row x, y for each cell")
    return points


def read_points_csv(path: str | PathLike[str]) -> Points:
    """Points of a CSV table with the columns x, y and label, x being the column and y the row in pixels.

    Raises:
        DataError: a column is missing, or x or y is not a finite number.
    """
    path = Path(path)
    check_file(path, "CSV")
    with reading(path, "CSV table"), path.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream)
        columns, rows = tuple(table.fieldnames or ()), list(table)
    if not set(_COLUMNS) <= set(columns):
        raise DataError(path, f"the columns {', '.join(columns)}", f"give the columns {', '.join(_COLUMNS)}")
    places = [_place(path, line, row) for line, row in enumerate(rows, start=2)]
    return Points(np.array(places, np.float64).reshape(-1, 2), tuple(row["label"] or "" for row in rows))


def write_points_csv(path: Path, points: Points) -> None:
    """Writes a table with the columns x, y and label, whole or not at all.

    Raises:
        DataError: the folder may not be written to.
        ResourceError: the disk is full.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (y, x), name in zip(points.yx.tolist(), points.classes, strict=True):
            writer.writerow([f"{x:g}", f"{y:g}", name])


def _place(path: Path, line: int, row: dict[str, str | None]) -> tuple[float, float]:
    try:
        y, x = float(row["y"] or ""), float(row["x"] or "")
    except ValueError as error:
        raise _bad_place(path, line) from error
    if not np.isfinite([y, x]).all():
        raise _bad_place(path, line)
    return y, x


def _bad_place(path: Path, line: int) -> DataError:
    return DataError(path, f"line {line}: x or y is not a number", "give pixels, x the column and y the row")
