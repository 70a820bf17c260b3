"""Opening an image file as a `Volume` that is decoded when it is sliced."""

from __future__ import annotations

import weakref
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Volume, Voxel
from morula.data import raster, tiff
from morula.data.reading import Header, check_file, check_header

__all__ = ["IMAGE_SUFFIXES", "MIN_SIDE", "ImageFile", "decode_image", "open_volume", "read_header"]

IMAGE_SUFFIXES = (*raster.SUFFIXES, *tiff.SUFFIXES)
MIN_SIDE = 16
"""Least height and width of an image in pixels: below it no network of ours has anything to look at."""


class ImageFile:
    """The pixels of an image file, decoded when sliced.

    The decoded array is shared for as long as somebody holds it or a view of it and is freed after, so that
    a list of ten thousand images takes no memory. Keep what `Volume.read` returns to decode only once.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path, self._header = path, header
        self._decoded: weakref.ref[Array] | None = None

    def __reduce__(self) -> tuple[type[ImageFile], tuple[Path, Header]]:
        return ImageFile, (self._path, self._header)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return self._header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._header.dtype

    def __getitem__(self, key: Any, /) -> Array:
        array = self._decoded() if self._decoded is not None else None
        if array is None:
            array = self._decode()
            self._decoded = weakref.ref(array)
        return array[key]

    def _decode(self) -> Array:
        array = decode_image(self._path)
        if array.shape != self.shape or array.dtype != self.dtype:
            found = f"{array.dtype} {array.shape}, but it was {self.dtype} {self.shape} when it was opened"
            raise DataError(self._path, found, "leave the file alone while it is in use")
        _check_finite(self._path, array)
        array.flags.writeable = False
        return array


def open_volume(path: str | PathLike[str], *, voxel: Voxel | None = None) -> Volume:
    """Opens a PNG, JPEG, BMP, TIFF or OME-TIFF image or stack; pixels are decoded at the first slice.

    Alpha is dropped, a palette expanded to RGB, and 1 bit becomes uint8; all else is as stored.
    Pages of a TIFF whose axes the file does not name are sections (z). A truncated file or values that are
    not finite show only when the pixels are read; `load_records` reads every image before it returns.

    Args:
        path: the file.
        voxel: size of a pixel or voxel in nm, where the file does not say.

    Returns:
        A read-only volume with axes `(c) (z) y x`.

    Raises:
        DataError: the file cannot be opened, is too small, too large, or holds axes other than c, z, y, x.
    """
    path = Path(path)
    header = read_header(path)
    height, width = header.shape[-2:]
    if min(height, width) < MIN_SIDE:
        found = f"{height} x {width} pixels"
        raise DataError(path, found, f"give an image of at least {MIN_SIDE} x {MIN_SIDE} pixels")
    status = path.stat()
    return Volume(
        ImageFile(path, header),
        header.axes,
        str(path),
        voxel=header.voxel or voxel,
        channels=header.channels,
        stamp=f"{status.st_size}-{status.st_mtime_ns}",
    )


def read_header(path: Path) -> Header:
    """What an image or label file declares, checked.

    Raises:
        DataError: missing, empty, a folder, not readable, of an unknown kind, or a decompression bomb.
    """
    check_file(path)
    header = _reader(path).header(path)
    check_header(path, header)
    return header


def decode_image(path: Path, *, indices: bool = False) -> Array:
    """The pixels of a file whose header was checked, axes as in the header.

    Args:
        path: the file.
        indices: keep the indices of a coloured palette, as label images have them, instead of its colours.

    Raises:
        DataError: the file is damaged or cut short.
    """
    return _reader(path).decode(path, indices=indices)


def _reader(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix in raster.SUFFIXES:
        return raster
    if suffix in tiff.SUFFIXES:
        return tiff
    known = ", ".join(IMAGE_SUFFIXES)
    raise DataError(
        path, f"the extension {suffix or '(none)'} is not supported", f"save it as one of {known}"
    )


def _check_finite(path: Path, array: Array) -> None:
    if array.dtype.kind != "f":
        return
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        found = f"{bad:,} of {array.size:,} pixels are not finite (NaN or infinity)"
        raise DataError(path, found, "replace them with numbers, or leave the image out")
