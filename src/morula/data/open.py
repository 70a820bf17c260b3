"""Opening an image file, a data set in one, or a folder of sections as a `Volume` that is read lazily."""

from __future__ import annotations

import weakref
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError
from morula.core.hashing import fingerprint
from morula.core.types import Array, Volume, VoxelSize
from morula.data import hdf5, mrc, raster, slices, tiff, vaa3d
from morula.data.box import bounding_box
from morula.data.hdf5 import split_key
from morula.data.ome_zarr import check_chunks, is_ome_zarr, open_ome_zarr
from morula.data.reading import MAX_PIXELS, Header, check_file, check_finite, check_header

__all__ = [
    "IMAGE_SUFFIXES",
    "MIN_SIDE",
    "VOLUME_SUFFIXES",
    "ImageFile",
    "decode_image",
    "open_volume",
    "read_header",
]

IMAGE_SUFFIXES = (*raster.SUFFIXES, *tiff.SUFFIXES)
VOLUME_SUFFIXES = (*IMAGE_SUFFIXES, *hdf5.SUFFIXES, *mrc.SUFFIXES, *vaa3d.SUFFIXES)
MIN_SIDE = 16
"""Least height and width of an image in pixels: below it no network of ours has anything to look at."""


class ImageFile:
    """The pixels of an image file, of a data set in one, or of a folder of sections, read when sliced.

    Of a stack `zyx`, and of a TIFF in tiles, in strips or uncompressed, only what the slice touches is read.
    Otherwise the decoded array is shared for as long as somebody holds it or a view of it and is freed after,
    so that ten thousand images take no memory.
    Keep what `Volume.read` returns to decode only once.
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
            if (found := self._part(key)) is not None:
                return found
            self._check_plane()
            array = self._checked(decode_image(self._path), self.shape)
            self._decoded = weakref.ref(array)
        return array[key]

    def _part(self, key: Any) -> Array | None:
        """What `key` names without the rest, None where all has to be decoded."""
        partial = self._header.axes.order == "zyx" or self._header.in_parts
        boxed = bounding_box(key, self.shape) if partial else None
        if boxed is None:
            return None
        box, rest = boxed
        shape = tuple(each.stop - each.start for each in box)
        if shape == self.shape or 0 in shape:
            return None
        array = _reader(self._path).part(self._path, box)
        return None if array is None else self._checked(array, shape)[rest]

    def _check_plane(self) -> None:
        height, width = self.shape[-2:]
        if height * width > MAX_PIXELS:
            found = f"{height:,} x {width:,} pixels are too many to be read at once"
            raise DataError(self._path, found, "segment it by blocks: let --out end with .ome.zarr")

    def _checked(self, array: Array, shape: tuple[int, ...]) -> Array:
        if array.shape != shape or array.dtype != self.dtype:
            found = f"{array.dtype} {array.shape}, but it was {self.dtype} {shape} when it was opened"
            raise DataError(self._path, found, "leave the file alone while it is in use")
        check_finite(self._path, array)
        array.flags.writeable = False
        return array


def open_volume(path: str | PathLike[str], *, voxel: VoxelSize = None) -> Volume:
    """Opens an image, a stack or a volume; pixels are read when it is sliced.

    * PNG, JPEG, BMP, TIFF, OME-TIFF, ImageJ TIFF. Alpha is dropped, a palette expanded to RGB, and 1 bit
      becomes uint8; all else is as stored. TIFF pages whose axes the file does not name are sections (z).
    * HDF5 as `file.h5:/key`; without a key the one data set that has three axes. The attribute
      `resolution` is the voxel size in nm, z, y, x, as in CREMI.
    * MRC, memory-mapped; voxel size from the header.
    * Vaa3D: v3draw, memory-mapped, and v3dpbd of 3, 8 and 16 bits.
    * A folder of 2D images of one size: a stack, its sections in natural order (`s2` before `s10`). RGB
      sections become grey if their channels are equal.
    * OME-Zarr 0.4 and 0.5, local or remote: the group of an image, or the array of a level (`a.ome.zarr/1`);
      and plain arrays of Zarr 2 and 3 (`a.zarr/volumes/raw`) with axes z, y, x and `resolution` as in HDF5.

    Whole numbers keep their type: 64-bit label ids stay exact. A truncated file or values that are not finite
    may show only when the pixels are read; `load_records` and `load_volumes` read all before they return.

    Args:
        path: the file, the file and key, or the folder.
        voxel: size of a pixel or voxel in nm, in place of what the file says (`Volume.sized`).

    Returns:
        A read-only volume with axes `(c) (z) y x`.

    Raises:
        DataError: the file cannot be opened, is too small, too large, or holds axes other than c, z, y, x.
    """
    if is_ome_zarr(path):
        volume = open_ome_zarr(path).sized(voxel)
        _check_side(path, volume.shape)
        check_chunks(volume)
        return volume
    path = Path(path)
    header = read_header(path)
    _check_side(path, header.shape)
    located = hdf5.resolved(path) if hdf5.is_hdf5(path) else path
    return Volume(
        ImageFile(located, header),
        header.axes,
        str(located),
        voxel=header.voxel,
        channels=header.channels,
        stamp=_stamp(path),
    ).sized(voxel)


def read_header(path: Path) -> Header:
    """What an image or label file declares, checked.

    Raises:
        DataError: missing, empty, a folder without sections, not readable, of an unknown kind, or a
            decompression bomb.
    """
    if is_ome_zarr(path):
        volume = open_ome_zarr(path)
        return Header(volume.shape, volume.dtype, volume.axes, volume.channels, volume.voxel)
    if path.is_dir():
        return slices.header(path)
    file, _ = split_key(path)
    check_file(file)
    header = _reader(path).header(path)
    check_header(path, header, None if hdf5.is_hdf5(path) else file.stat().st_size)
    return header


def decode_image(path: Path, *, indices: bool = False) -> Array:
    """The pixels of a file whose header was checked, axes as in the header.

    Args:
        path: the file.
        indices: keep the indices of a coloured palette, as label images have them, instead of its colours.

    Raises:
        DataError: the file is damaged or cut short.
    """
    return open_ome_zarr(path).read() if is_ome_zarr(path) else _reader(path).decode(path, indices=indices)


def _check_side(path: str | PathLike[str], shape: tuple[int, ...]) -> None:
    height, width = shape[-2:]
    if min(height, width) < MIN_SIDE:
        found = f"{height} x {width} pixels"
        raise DataError(path, found, f"give an image of at least {MIN_SIDE} x {MIN_SIDE} pixels")


def _reader(path: Path) -> Any:
    if path.is_dir():
        return slices
    if hdf5.is_hdf5(path):
        return hdf5
    suffix = path.suffix.lower()
    if suffix in mrc.SUFFIXES:
        return mrc
    if suffix in vaa3d.SUFFIXES:
        return vaa3d
    if suffix in raster.SUFFIXES:
        return raster
    if suffix in tiff.SUFFIXES:
        return tiff
    known = ", ".join(VOLUME_SUFFIXES)
    raise DataError(
        path, f"the extension {suffix or '(none)'} is not supported", f"save it as one of {known}"
    )


def _stamp(path: Path) -> str:
    files = slices.section_files(path) if path.is_dir() else [split_key(path)[0]]
    found = [(file.name, file.stat()) for file in files]
    if len(found) == 1:
        ((_, status),) = found
        return f"{status.st_size}-{status.st_mtime_ns}"
    return fingerprint([[name, status.st_size, status.st_mtime_ns] for name, status in found])
