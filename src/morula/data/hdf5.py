"""HDF5: one data set of a file, named as `file.h5:/key`, read by the part that is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Axes
from morula.data.attributes import offset_of, resolution_of
from morula.data.reading import Header, reading

__all__ = [
    "SUFFIXES",
    "decode",
    "header",
    "is_hdf5",
    "offset_nm",
    "part",
    "resolved",
    "split_key",
    "transforms",
]

SUFFIXES = (".h5", ".hdf5", ".hdf")

_NAMED = re.compile(rf"(?P<file>.+(?:{'|'.join(map(re.escape, SUFFIXES))})):(?P<key>.*)", re.IGNORECASE)
_LISTED = 12


def split_key(path: Path) -> tuple[Path, str]:
    """The file and the key of `file.h5:/key`; a path without a key has the key "".

    >>> split_key(Path("a/b.h5:/volumes/raw"))[1], split_key(Path("a/b.h5"))[1]
    ('/volumes/raw', '')
    """
    named = _NAMED.fullmatch(path.as_posix())  # of a Windows path the key would have backslashes
    if named is None:
        return path, ""
    return Path(named["file"]), "/" + named["key"].strip("/")


def is_hdf5(path: Path) -> bool:
    """Whether `path` names an HDF5 file or a data set in one, by its extension."""
    return split_key(path)[0].suffix.lower() in SUFFIXES


def resolved(path: Path) -> Path:
    """`path` with the key that it leaves out.

    Raises:
        DataError: no data set of this key, or no key and not exactly one data set with three axes.
    """
    with _opened(path) as dataset:
        return Path(f"{split_key(path)[0]}:{dataset.name}")


def header(path: Path) -> Header:
    """Size, type and voxel size of a data set; the `resolution` attribute is nm in z, y, x as CREMI has it.

    Raises:
        DataError: not HDF5, cut short, no such data set, or one without two or three axes of numbers, or of
            which nothing was ever written.
    """
    with _opened(path) as dataset:
        empty = not dataset.is_virtual and dataset.id.get_storage_size() == 0
        shape, dtype = tuple(map(int, dataset.shape)), np.dtype(dataset.dtype)
        voxel = resolution_of(dataset.attrs, len(shape))
    if len(shape) not in (2, 3) or dtype.kind not in "buifc":
        found = f"a data set of {_described(shape, dtype)}"
        raise DataError(path, found, "name one with the axes z, y, x (or y, x) of numbers")
    if empty:
        found = f"a data set of {_described(shape, dtype)} to which nothing was written"
        raise DataError(path, found, "name another one, or write it again")
    kept = np.dtype("uint8") if dtype.kind == "b" else dtype.newbyteorder("=")
    return Header(shape, kept, Axes("zyx"[-len(shape) :]), voxel=voxel, in_parts=True)


def offset_nm(path: Path) -> tuple[float, float, float] | None:
    """Where a data set lies in the volume that it is a part of, z, y, x in nm (attribute `offset` of CREMI).

    Raises:
        DataError: not HDF5, cut short, or no such data set.
    """
    with _opened(path) as dataset:
        return offset_of(dataset.attrs)


def transforms(path: Path) -> Array | None:
    """Which body each supervoxel of a NeuroProof file belongs to.

    Returns:
        `(n, 2)` integers, supervoxel and body, of the table `transforms` beside the data set `stack`; None
        where there is none.

    Raises:
        DataError: not HDF5, cut short, no such data set, or a table that is none of pairs of whole numbers.
    """
    with _opened(path) as dataset:
        beside = dataset.parent.get("transforms")
        if not dataset.name.endswith("/stack") or not isinstance(beside, h5py.Dataset):
            return None
        shape = tuple(beside.shape or ())
        if len(shape) != 2 or shape[1] != 2 or beside.dtype.kind not in "ui":
            found = f"the table {beside.name} of {_described(shape, beside.dtype)}"
            raise DataError(path, found, "write a supervoxel and its body in each row, as whole numbers")
        return _native(beside[()])


def decode(path: Path, *, indices: bool = False) -> Array:
    """The whole data set.

    Args:
        path: the file and its key.
        indices: has no effect: HDF5 has no palettes.

    Raises:
        DataError: the file is damaged or cut short.
    """
    with _opened(path) as dataset:
        return _native(dataset[()])


def part(path: Path, box: tuple[slice, ...]) -> Array:
    """The voxels of a box; only the chunks that it touches are read.

    Raises:
        DataError: the file is damaged or cut short.
    """
    with _opened(path) as dataset:
        return _native(dataset[box])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The data set, in a file that is open no longer than the block: no handle leaks or is forked."""
    name, key = split_key(path)
    with reading(name, "HDF5 file"), h5py.File(name, "r") as file:
        yield _dataset(path, file, key)


def _dataset(path: Path, file: Any, key: str) -> Any:
    if key:
        found = file.get(key)
        if isinstance(found, h5py.Dataset):
            return found
        kind = f"{key} is a group" if isinstance(found, h5py.Group) else f"no data set {key}"
        raise DataError(path, f"{kind}; there are {_listed(_datasets(file))}", _fix(path))
    datasets = _datasets(file)
    volumes = [each for each in datasets if len(each.shape) == 3]
    if len(volumes) == 1:
        return volumes[0]
    found = f"{len(volumes) or 'no'} data sets with three axes; there are {_listed(datasets)}"
    raise DataError(path, found, _fix(path))


def _datasets(file: Any) -> list[Any]:
    found: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found.append(item)

    file.visititems(visit)
    return found


def _listed(datasets: list[Any]) -> str:
    if not datasets:
        return "no data sets at all"
    told = [f"{each.name} ({_described(each.shape, each.dtype)})" for each in datasets[:_LISTED]]
    more = len(datasets) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _described(shape: tuple[int, ...], dtype: Any) -> str:
    return f"{' x '.join(map(str, shape)) or 'one'} {dtype}"


def _fix(path: Path) -> str:
    return f"name one, as {split_key(path)[0].name}:/key"


def _native(array: Any) -> Array:
    values = np.asarray(array)
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
