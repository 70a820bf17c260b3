"""Point annotations: one place and one class a cell, from BCData's HDF5 files or from a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array
from morula.data.reading import check_file, reading

__all__ = ["Points", "read_points_csv", "read_points_hdf5"]

_KEYS = ("coordinates", "coordinate")
_OF_POINTS = ("x", "y", "label")
_OF_OBJECTS = ("centroid_x", "centroid_y", "class")


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

    A run's `objects.csv` is one too: its objects lie at their centroids, and `class` is their label.

    Raises:
        DataError: no table, a column is missing, or a row without two finite numbers and a label.
    """
    path = Path(path)
    check_file(path, "CSV")
    with reading(path, "CSV table"), path.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream, skipinitialspace=True)
        columns = _columns(path, table.fieldnames or ())
        rows = [_point(path, table.line_num, *(row[name] or "" for name in columns)) for row in table]
    places = np.array([place for place, _ in rows], np.float64).reshape(-1, 2)
    return Points(places, tuple(name for _, name in rows))


def _columns(path: Path, header: Sequence[str]) -> tuple[str, str, str]:
    """The names of the columns x, y and label."""
    columns = _OF_OBJECTS if "centroid_x" in header or "centroid_y" in header else _OF_POINTS
    missing = [name for name in columns if name not in header]
    if missing:
        found = f"no column {', '.join(missing)} in the header {','.join(header)!r}"
        raise DataError(path, found, f"name the columns {','.join(_OF_POINTS)}")
    return columns


def _point(path: Path, line: int, x: str, y: str, name: str) -> tuple[tuple[float, float], str]:
    """Place y, x and label of a row."""
    try:
        place = float(y), float(x)
    except ValueError:
        place = (np.nan, np.nan)
    if not np.isfinite(place).all() or not name:
        found = f"line {line}: x {x!r}, y {y!r}, class {name!r}"
        raise DataError(path, found, "give every point two finite numbers and a class")
    return place, name
