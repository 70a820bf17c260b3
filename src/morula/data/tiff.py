"""TIFF, OME-TIFF and ImageJ TIFF: images and stacks, with the pixel size where the file declares one."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from morula.core.errors import DataError
from morula.core.types import Array, Axes
from morula.data.pixel_size import channel_names, pixel_size
from morula.data.reading import Header, reading, tells_labels

__all__ = ["SUFFIXES", "decode", "header", "part"]

SUFFIXES = (".tif", ".tiff")
RGB = ("red", "green", "blue")

_PLAIN_STACK = "IQ"  # tifffile's letters for pages whose meaning the file does not say: sections
_PIECE = 2**26  # numbers in a tile or strip that is decoded to read a part of it
_ALPHA = (1, 2)
_DESCRIPTION = 270
_COLOUR = {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR}
_GREY = {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE}
_ENDIAN: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}


@dataclass(frozen=True)
class _Layout:
    """How the stored array becomes `(c) z y x`.

    Attributes:
        stored: the array's shape without axes of size one.
        axes: its axes, one letter each out of C, S, Z, Y, X.
        page: the page that stands for all others.
        keep: how many samples are left once alpha is dropped; 3 for an expanded palette.
    """

    stored: tuple[int, ...]
    axes: str
    page: TiffPage
    keep: int

    @property
    def is_palette(self) -> bool:
        return self.page.photometric == PHOTOMETRIC.PALETTE

    @property
    def order(self) -> tuple[int, ...]:
        """Where each axis of the result, channels first, lies in the stored array."""
        return tuple(self.axes.index(letter) for letter in "SCZYX" if letter in self.axes)


def header(path: Path) -> Header:
    """Size, type, channels and pixel size of a TIFF file.

    Raises:
        DataError: not a TIFF, cut short, several series, a time axis, or a pixel format we do not support.
    """
    with _opened(path) as tif:
        series = _series(path, tif)
        layout = _layout(path, series)
        _check_whole(path, tif, series)
        channels = _channels(path, tif, layout)
        stack = "Z" in layout.axes
        sizes = tuple(layout.stored[layout.axes.index(letter)] for letter in "ZYX" if letter in layout.axes)
        shape = (len(channels), *sizes) if len(channels) > 1 else sizes
        axes = Axes(("c" if len(channels) > 1 else "") + ("zyx" if stack else "yx"))
        dtype = np.dtype("uint8" if layout.is_palette or series.dtype == bool else series.dtype)
        pieces = series.dataoffset is not None or np.prod(layout.page.chunks) <= _PIECE
        whole = stack or layout.is_palette or series.dtype == bool or not pieces
        return Header(
            shape, dtype, axes, channels, pixel_size(tif, layout.page, stack=stack), in_parts=not whole
        )


def decode(path: Path, *, indices: bool = False) -> Array:
    """The pixels, axes as in the header, values as stored (where zero means white they are not inverted).

    Args:
        path: the file.
        indices: keep the indices of a coloured palette, as label images have them, instead of its colours.

    Raises:
        DataError: the file is damaged or cut short.
    """
    with _opened(path) as tif:
        series = _series(path, tif)
        layout = _layout(path, series)
        _check_whole(path, tif, series)
        array = series.asarray().reshape(layout.stored).transpose(layout.order)
        if layout.is_palette:
            return _expand(array, np.asarray(layout.page.colormap), indices)
        if "S" in layout.axes:
            array = array[: layout.keep] if layout.keep > 1 else array[0]
        return np.ascontiguousarray(array.view(np.uint8) if array.dtype == bool else array)


def part(path: Path, box: tuple[slice, ...]) -> Array | None:
    """The pixels of a box of an image or a stack; only the tiles, strips or pages that it touches are read.

    Where the pixels lie in one uncompressed piece they are memory-mapped. That the file is not cut short is
    told by `header`, once.

    Args:
        path: the file.
        box: one slice with step 1 for each axis of the header.

    Returns:
        An array with the axes of the header, or None where the file has to be decoded whole.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(path) as tif:
        series = _series(path, tif)
        layout = _layout(path, series)
        if layout.is_palette or series.dtype == bool or ("Z" in layout.axes and layout.axes != "ZYX"):
            return None
        key = _key(layout, box)
        if series.dataoffset is not None:
            stored = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            mapped = np.memmap(path, stored, "r", series.dataoffset, layout.stored)
            return _arranged(np.array(mapped[key], dtype=stored.newbyteorder("=")), layout, box)
        if layout.axes != "ZYX" or _skips_pieces(layout, box):
            return _pieces(series, layout, key, box)
        if len(series.pages) != layout.stored[0]:
            return None
        pages = [series.pages[number] for number in range(len(series.pages))[box[0]]]
        return np.stack([page.asarray().reshape(layout.stored[1:])[box[1:]] for page in pages if page])


def _skips_pieces(layout: _Layout, box: tuple[slice, ...]) -> bool:
    """Whether each page of a stack has tiles or strips that lie outside a box."""
    sides = zip(box[1:], layout.page.chunks[-2:], layout.stored[1:], strict=True)
    return any(side.stop - side.start <= size - piece for side, piece, size in sides)


def _key(layout: _Layout, box: tuple[slice, ...]) -> tuple[slice, ...]:
    """A box in the stored array; channels are taken whole."""
    sides = dict(zip("XYZ", reversed(box), strict=False))
    return tuple(slice(None) if letter in "CS" else sides[letter] for letter in layout.axes)


def _arranged(array: Array, layout: _Layout, box: tuple[slice, ...]) -> Array:
    """What was read with `_key`, in the axes of the header."""
    array = array.transpose(layout.order)
    if "S" in layout.axes:
        array = array[: layout.keep] if layout.keep > 1 else array[0]
    return np.ascontiguousarray(array if "Z" in layout.axes or array.ndim == 2 else array[box[0]])


def _pieces(
    series: TiffPageSeries, layout: _Layout, key: tuple[slice, ...], box: tuple[slice, ...]
) -> Array | None:
    """A box, of the tiles or strips that it touches."""
    zarr: Any = import_module("zarr")
    store: Any = series.aszarr(level=0)
    with store:
        array = zarr.open_array(store=store, mode="r")
        if tuple(array.shape) != layout.stored:
            return None
        return _arranged(np.asarray(array[key]), layout, box)


@contextmanager
def _opened(path: Path) -> Iterator[TiffFile]:
    # tifffile reports damage to its logger and reads on; `_check_whole` and the decoders raise instead.
    logger = logging.getLogger("tifffile")
    logger.addFilter(_quiet)
    try:
        with reading(path, "TIFF file"), TiffFile(path) as tif:
            yield tif
    finally:
        logger.removeFilter(_quiet)


def _quiet(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.CRITICAL


def _series(path: Path, tif: TiffFile) -> TiffPageSeries:
    if len(tif.series) == 1:
        return tif.series[0]
    shapes = ", ".join(f"{series.axes} {series.shape}" for series in tif.series[:4])
    found = f"{len(tif.series)} image series ({shapes})"
    raise DataError(path, found, "save the series to segment as a file of its own")


def _layout(path: Path, series: TiffPageSeries) -> _Layout:
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    sized = [(axis, size) for axis, size in zip(axes, shape, strict=True) if size > 1 or axis in "YX"]
    names = "".join(axis for axis, _ in sized)
    if "Z" not in names:
        for letter in _PLAIN_STACK:
            names = names.replace(letter, "Z", 1) if "Z" not in names else names
    if not _is_supported(names):
        raise _refused_axes(path, axes, shape)
    page = series.keyframe
    if page.photometric not in _COLOUR | _GREY | {PHOTOMETRIC.PALETTE}:
        found = f"colours stored as {PHOTOMETRIC(page.photometric).name}"
        raise DataError(path, found, "save it as grey or RGB")
    return _Layout(tuple(size for _, size in sized), names, page, _samples(names, sized, page))


def _is_supported(names: str) -> bool:
    letters = set(names)
    return len(letters) == len(names) and {"Y", "X"} <= letters <= set("CSZYX") and not {"C", "S"} <= letters


def _refused_axes(path: Path, axes: str, shape: tuple[int, ...]) -> DataError:
    found = f"axes {axes} with shape {' x '.join(map(str, shape))}"
    sizes = dict(zip(axes, shape, strict=True))
    times = sizes.get("T", 1)
    if times > 1:
        found += f": the t axis has {times} time points"
        fix = "save each time point as a file of its own, with axes z, c, y, x only"
        if sizes.get("Z", 1) == 1:
            fix = f"if these are sections, save them as slices (Fiji: Image > Properties); else {fix}"
        return DataError(path, found, fix)
    return DataError(path, found, "save an image or a stack with axes c, z, y, x only")


def _samples(names: str, sized: list[tuple[str, int]], page: TiffPage) -> int:
    if page.photometric in _COLOUR | {PHOTOMETRIC.PALETTE}:
        return 3
    stored = dict(zip(names, (size for _, size in sized), strict=True)).get("S", 1)
    return stored - sum(int(extra) in _ALPHA for extra in page.extrasamples)


def _channels(path: Path, tif: TiffFile, layout: _Layout) -> tuple[str, ...]:
    if layout.is_palette or ("S" in layout.axes and layout.page.photometric in _COLOUR):
        if layout.is_palette and "C" in layout.axes:
            raise DataError(path, "several channels with a colour palette", "save the channels without one")
        return RGB
    if "C" in layout.axes:
        return channel_names(tif, layout.stored[layout.axes.index("C")])
    if layout.keep > 1:
        return tuple(f"channel {number + 1}" for number in range(layout.keep))
    return ("grey",)


def _check_whole(path: Path, tif: TiffFile, series: TiffPageSeries) -> None:
    """Refuses a file without all its pages or strips, for which tifffile would fill in zeros."""
    pages = [page for page in series.pages if page is not None]
    if len(pages) < len(series.pages):
        found = f"{len(series.pages) - len(pages)} of {len(series.pages)} planes are missing"
        raise DataError(path, found, "put the files that hold them beside it, or copy it again")
    size = tif.filehandle.size
    len(tif.pages)
    tif.filehandle.seek(tif.pages.next_page_offset or 0)
    chained = int.from_bytes(tif.filehandle.read(tif.tiff.offsetsize), _ENDIAN[tif.byteorder])
    ends = (
        offset + count
        for page in pages
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )
    needed = max(chained, max(ends, default=0))
    if needed > size:
        found = f"cut short: {size:,} bytes of at least {needed:,}"
        raise DataError(path, found, "copy it again from where it came")
    declared = (tif.shaped_metadata or ({},))[0].get("shape", series.shape)
    if np.prod(declared) != np.prod(series.shape):
        found = f"cut short: {series.shape} of the {tuple(declared)} pixels that it declares"
        raise DataError(path, found, "copy it again from where it came")
    if _DESCRIPTION in _declared_tags(tif) and _DESCRIPTION not in tif.pages.first.tags:
        found = "cut short: the description that names its axes is missing"
        raise DataError(path, found, "copy it again from where it came")


def _declared_tags(tif: TiffFile) -> set[int]:
    """The tag codes that the first page lists, whether their values can be read or not."""
    file, form = tif.filehandle, tif.tiff
    file.seek(tif.pages.first.offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    entries = file.read(count * form.tagsize)
    code = struct.Struct(tif.byteorder + "H")
    return {code.unpack_from(entries, start)[0] for start in range(0, len(entries), form.tagsize)}


def _expand(array: Array, colormap: Array, indices: bool) -> Array:
    """A palette image `(z, y, x)` or `(y, x)` as colours `(3, ...)`, or as label indices."""
    colours = (colormap >> 8).astype(np.uint8)
    if not indices:
        return np.ascontiguousarray(colours[:, array])
    used = np.unique(array)
    return colours[0][array] if tells_labels(used, colours[:, used].T) else np.ascontiguousarray(array)
