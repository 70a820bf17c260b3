"""Opening an OME-Zarr image, one level of it, or a plain Zarr array as a volume."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError
from morula.core.hashing import fingerprint
from morula.core.types import Array, ArraySource, Axes, Volume
from morula.data.attributes import offset_of, resolution_of
from morula.data.ome_zarr.metadata import Level, Multiscale, parsed
from morula.data.ome_zarr.store import StoredArray, is_remote, opened_group

__all__ = ["absent_chunks", "check_chunks", "is_ome_zarr", "offset_nm", "open_ome_zarr", "read_multiscale"]


def is_ome_zarr(path: str | PathLike[str]) -> bool:
    """Whether a path or URL names a Zarr store or something inside one, by the extension `.zarr`.

    >>> is_ome_zarr("a/b.ome.zarr/labels/mito"), is_ome_zarr("a/b.h5")
    (True, False)
    """
    return any(part.lower().endswith(".zarr") for part in str(path).replace("\\", "/").split("/"))


def read_multiscale(uri: str | PathLike[str]) -> Multiscale:
    """What the group of an image declares.

    Raises:
        DataError: no store, no multiscales, or ones that no image has.
    """
    group = opened_group(str(uri))
    return parsed(dict(group.attrs), str(uri))


def open_ome_zarr(uri: str | PathLike[str], *, level: int | None = None) -> Volume:
    """Opens an image of OME-Zarr 0.4 or 0.5, local or remote; a box is read when it is sliced.

    An array without OME-Zarr metadata (`a.zarr/volumes/raw`, Zarr 2 or 3) has the axes `zyx` or `yx`; its
    attribute `resolution` is the voxel size in nm, as in CREMI.

    Args:
        uri: the group of the image (`a.ome.zarr`, `a.ome.zarr/labels/mito`), the array of one of its
            levels (`a.ome.zarr/1`), or a plain array; a path, or a URL that fsspec knows.
        level: 0 is the largest; where the uri names a level, leave it out.

    Returns:
        A volume with axes `(c) (z) y x`; axes of time and channel with one entry are dropped.

    Raises:
        DataError: no store or level, a plain array of other axes, several time points, a size of zero, or
            pixels that are no numbers; and when a box is read that holds NaN or infinity.
    """
    text = str(uri).rstrip("/")
    try:
        text, image, chosen = _found(text, level)
    except DataError:
        if level is not None or (array := _plain(text)) is None:
            raise
        return _opened_plain(text, array)
    stored = StoredArray(text, chosen.path, finite=True)
    _check(stored, image.axes)
    kept = [number for number, axis in enumerate(image.axes) if axis in "zyx" or stored.shape[number] > 1]
    axes = Axes("".join(image.axes[number] for number in kept))
    source: ArraySource = stored if len(kept) == len(image.axes) else _Squeezed(stored, tuple(kept))
    count = source.shape[0] if axes.has_channels else 1
    return Volume(
        source,
        axes,
        stored.where,
        voxel=image.voxel(chosen),
        channels=_names(image, count),
        stamp=_stamp(text, stored),
    )


def offset_nm(uri: str | PathLike[str]) -> tuple[float, float, float] | None:
    """Where an image lies in the volume that it is a part of, z, y, x in nm, None where nothing says so.

    A plain array says so by its attribute `offset`, OME-Zarr by its level's `translation`. One of zeros,
    which most software writes whatever it crops, says nothing.
    """
    text = str(uri).rstrip("/")
    try:
        _, image, chosen = _found(text)
    except DataError:
        array = _plain(text)
        return None if array is None else offset_of(array.attributes)
    return image.offset(chosen)


def check_chunks(volume: Volume) -> None:
    """Refuses an image of which parts are not there, before hours of work on the zeros in their place.

    Stores that cannot be listed (HTTP) are taken as they are, and so is what is no OME-Zarr.

    Raises:
        DataError: chunks are missing.
    """
    source = _listable(volume)
    if source is None:
        return
    lost, total = source.missing
    if lost:
        found = f"{lost:,} of {total:,} chunks are missing; they would be read as zeros"
        fix = "copy the store again; if they are meant to be empty, write them (write_empty_chunks=True)"
        raise DataError(volume.uri, found, fix)


def absent_chunks(uri: str | PathLike[str]) -> str | None:
    """What to know of labels of which chunks are not in the store, in a sentence.

    Unlike an image, labels have wide areas of nothing, and by default Zarr does not store a chunk of these:
    one that is not there is empty as a rule, and nothing in the store tells it from one that was lost. So it
    is told of and not refused. Only a `fill_value` of null, which Zarr 2 has, says that nothing is to be read
    in its place; then Zarr leaves out no empty chunk either.

    Args:
        uri: of the labels; what is no Zarr store, or cannot be listed (HTTP), is taken as it is.

    Raises:
        DataError: chunks are missing, and nothing is said to be in their place; or there is no such array.
    """
    source = _listable(open_ome_zarr(uri)) if is_ome_zarr(uri) else None
    if source is None:
        return None
    lost, total = source.missing
    if not lost:
        return None
    if source.fill is None:
        found = f"{lost:,} of {total:,} chunks are missing, and fill_value null says that none may be"
        raise DataError(source.where, found, "copy the store again, or set fill_value to 0 if they are empty")
    return (
        f"{lost:,} of {total:,} chunks of {source.where} are not stored and are read as {source.fill:g}. "
        "Zarr leaves out empty ones; if something is labelled there, copy the store again."
    )


def _listable(volume: Volume) -> StoredArray | None:
    """What a volume is read from, None where its objects cannot be counted."""
    source = volume.source.stored if isinstance(volume.source, _Squeezed) else volume.source
    if not isinstance(source, StoredArray) or source.where.startswith(("http://", "https://")):
        return None
    return source


@dataclass(frozen=True)
class _Squeezed:
    """A stored array without some axes of size one."""

    stored: StoredArray
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored.shape[number] for number in self.kept)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stored.dtype

    def __getitem__(self, key: Any, /) -> Array:
        entries = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in [entry for entry in entries if not isinstance(entry, np.ndarray)]:
            place = entries.index(Ellipsis)
            entries[place : place + 1] = [slice(None)] * (len(self.kept) - len(entries) + 1)
        entries += [slice(None)] * (len(self.kept) - len(entries))
        full: list[Any] = [0] * len(self.stored.shape)
        for number, entry in zip(self.kept, entries, strict=True):
            full[number] = entry
        return self.stored[tuple(full)]


def _found(text: str, level: int | None = None) -> tuple[str, Multiscale, Level]:
    """The group of an image, what it declares, and the level that is meant, by the group's name or its own.

    Raises:
        DataError: neither is of an image, or there is no such level.
    """
    parent, _, last = text.rpartition("/")
    try:
        image = read_multiscale(text)
    except DataError:
        if level is not None or not parent or not _has_level(parent, last):
            raise
        text, image = parent, read_multiscale(parent)
        level = [each.path for each in image.levels].index(last)
    return text, image, _level(image, level or 0, text)


def _has_level(parent: str, last: str) -> bool:
    try:
        return any(each.path == last for each in read_multiscale(parent).levels)
    except DataError:
        return False


def _level(image: Multiscale, level: int, where: str) -> Level:
    if not 0 <= level < len(image.levels):
        found = f"no level {level}; there are {len(image.levels)}"
        raise DataError(where, found, f"choose one from 0 to {len(image.levels) - 1}")
    return image.levels[level]


def _plain(uri: str) -> StoredArray | None:
    """The array of this name, None where there is none that can be opened."""
    array = StoredArray(uri, "", finite=True)
    try:
        return array if array.shape else None
    except DataError:
        return None


def _opened_plain(uri: str, array: StoredArray) -> Volume:
    if len(array.shape) not in (2, 3):
        found = f"an array of {len(array.shape)} axes without OME-Zarr metadata"
        raise DataError(array.where, found, "name one with the axes z, y, x (or y, x)")
    axes = "zyx"[-len(array.shape) :]
    _check(array, axes)
    voxel = resolution_of(array.attributes, len(axes))
    return Volume(array, Axes(axes), array.where, voxel=voxel, channels=("grey",), stamp=_stamp(uri, array))


def _check(stored: StoredArray, axes: str) -> None:
    shape = stored.shape
    size = " x ".join(map(str, shape))
    if len(shape) != len(axes):
        raise DataError(stored.where, f"an array of {size} for the axes {axes}", "write it again")
    if 0 in shape:
        raise DataError(stored.where, f"an axis of size zero ({size})", "give an image that has voxels")
    if stored.dtype.kind not in "buif":
        raise DataError(
            stored.where, f"pixels of type {stored.dtype}", "save real numbers (8 or 16 bit, or float)"
        )
    if "t" in axes and shape[axes.index("t")] > 1:
        found = f"{shape[axes.index('t')]} time points"
        raise DataError(stored.where, found, "save each time point as an image of its own")


def _names(image: Multiscale, count: int) -> tuple[str, ...]:
    if count == 1:
        return ("grey",)
    named = image.channels
    distinct = len(named) == count and all(named) and len(set(named)) == count
    return named if distinct else tuple(f"channel {number + 1}" for number in range(count))


def _stamp(uri: str, stored: StoredArray) -> str:
    """The metadata of the array, and of a local store size and time of every file, chunks too."""
    described = json.dumps([stored.shape, str(stored.dtype), stored.unit])
    if is_remote(uri):
        return fingerprint(described)
    folder = Path(stored.where)
    found = list(_stamps(folder)) if folder.is_dir() else []
    return fingerprint(described, np.array(found, np.int64))


def _stamps(folder: str | Path) -> Iterator[tuple[int, int]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=attrgetter("name"))
    for each in found:
        if each.is_dir():
            yield from _stamps(each.path)
        else:
            status = each.stat()
            yield status.st_size, status.st_mtime_ns
