"""MRC (MRC2014, IMOD): volumes that are memory-mapped, with the voxel size of the header."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Axes, Voxel
from morula.data.reading import Header, reading

__all__ = ["SUFFIXES", "decode", "header", "part"]

SUFFIXES = (".mrc", ".rec")

_NM = 0.1
"""Nanometres in an Angstrom, the unit of the header."""

_IMOD_STAMP, _IMOD_SIGNED = 1146047817, 1
"""IMOD's mark in the header, and the flag without which its bytes are unsigned, against the standard."""


def header(path: Path) -> Header:
    """Size, type and voxel size of an MRC file; a size of zero is unknown.

    Raises:
        DataError: not MRC, cut short, several volumes, or axes that are not stored as z, y, x.
    """
    with _opened(path) as mrc:
        shape, dtype = tuple(map(int, mrc.data.shape)), _dtype(mrc)
        stored = tuple(int(mrc.header[name]) for name in ("mapc", "mapr", "maps"))
        size = mrc.voxel_size
        x, y, z = (float(size[axis]) * _NM for axis in "xyz")
    if len(shape) not in (2, 3):
        found = f"{len(shape)} axes ({' x '.join(map(str, shape))})"
        raise DataError(path, found, "save each volume as a file of its own")
    if stored not in {(1, 2, 3), (0, 0, 0)}:
        found = f"columns, rows and sections along the axes {stored}, in place of (1, 2, 3)"
        raise DataError(path, found, "save it with x fastest, then y, then z")
    voxel = Voxel(y=y, x=x, z=z if z > 0 and len(shape) == 3 else None) if min(x, y) > 0 else None
    return Header(shape, dtype, Axes("zyx"[-len(shape) :]), voxel=voxel, in_parts=True)


def decode(path: Path, *, indices: bool = False) -> Array:
    """The whole volume.

    Args:
        path: the file.
        indices: has no effect: MRC has no palettes.

    Raises:
        DataError: the file is damaged or cut short.
    """
    return part(path, (slice(None),))


def part(path: Path, box: tuple[slice, ...]) -> Array:
    """The voxels of a box, copied out of the memory-mapped file.

    Raises:
        DataError: the file is damaged or cut short.
    """
    with _opened(path) as mrc:
        dtype = _dtype(mrc)
        values = np.array(mrc.data[box])
        return values.view(dtype) if dtype == np.uint8 else values.astype(dtype, copy=False)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with reading(path, "MRC file"), warnings.catch_warnings():
        # mrcfile warns of bytes after the data, which do no harm, and raises for all that does.
        warnings.simplefilter("ignore", RuntimeWarning)
        with mrcfile.mmap(path, mode="r") as mrc:
            yield mrc


def _dtype(mrc: Any) -> np.dtype:
    dtype = np.dtype(mrc.data.dtype).newbyteorder("=")
    stamp, flags = np.frombuffer(mrc.header["extra2"].tobytes(), mrc.header["mode"].dtype)[10:12]
    unsigned = int(stamp) == _IMOD_STAMP and not int(flags) & _IMOD_SIGNED
    return np.dtype(np.uint8) if dtype == np.int8 and unsigned else dtype
