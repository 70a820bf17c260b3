"""Label images: whole numbers, 0 = background."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage as ndi
import tifffile

from morula.core.errors import DataError
from morula.core.files import atomic_path
from morula.core.types import Array, ArraySource, Voxel
from morula.data import hdf5
from morula.data.ome_zarr import absent_chunks, is_ome_zarr
from morula.data.open import decode_image, read_header
from morula.data.reading import Header
from morula.data.slices import section_files

__all__ = [
    "LABELS",
    "STORE",
    "copy_labels",
    "label_type",
    "predicted_labels",
    "read_labels",
    "refuse_mask",
    "write_labels",
]

LABELS, STORE = "labels.tif", "labels.ome.zarr"
"""What the labels of a prediction are named, and those of a volume that is large for a file."""

_UINT16 = 65_535
_SECTIONS = 32  # that are read at once; a chunk of our stores is as deep
_MASK, _ALIKE = 3, 0.25  # pieces of one number that make a mask, and their least share of the largest
_LARGEST = np.iinfo(np.int32).max
_UNKNOWN = "if it marks voxels that nobody labelled, give labels as large as the volume, with 0 there"
_EXACT = 2**53  # where floats, and tools that keep ids in them, begin to mix up neighbours


def read_labels(path: str | PathLike[str]) -> Array:
    """Reads a label image or stack.

    Three equal colour channels count as one. The indices of a coloured palette are the labels; a grey
    palette gives its grey values. Labels stored as floats are refused even where they are whole, because
    what wrote them may have interpolated.

    The supervoxels of a NeuroProof file (`stack` beside `transforms`) become the bodies that they belong to;
    one that the table does not name is a body of its own, as it is for NeuroProof. Where a label is
    beyond 2,147,483,647, all are numbered anew, 1, 2, ... in their order.

    Args:
        path: a PNG, BMP, TIFF or MRC file, `file.h5:/key`, OME-Zarr labels, or a folder of sections.

    Returns:
        `(y, x)` or `(z, y, x)` int32, 0 = background.

    Raises:
        DataError: unreadable, JPEG, float, negative values or ones beyond 2^53, different colour
            channels, supervoxels with two bodies, or chunks of Zarr that were lost (`absent_chunks`).
    """
    path = Path(path)
    absent_chunks(path)  # those that may be empty are told of where there is somebody to tell
    header = read_header(path)
    files = section_files(path) if path.is_dir() and not is_ome_zarr(path) else [path]
    if any(file.suffix.lower() in {".jpg", ".jpeg"} for file in files):
        raise DataError(path, "labels as JPEG, which blurs them", "save them as PNG or TIFF")
    if header.dtype.kind == "f":
        raise DataError(path, f"labels of type {header.dtype}", "save them as whole numbers (uint16)")
    labels = _single_channel(path, decode_image(path, indices=True), header)
    _refuse_negative(path, labels)
    table = hdf5.transforms(path) if hdf5.is_hdf5(path) else None
    if table is not None:
        _refuse_negative(path, table)
        labels = _bodies(path, labels, table.astype(np.uint64))
    high = int(labels.max(initial=0))
    if high > _EXACT:
        fix = f"number the objects 1, 2, ...; ids are exact up to 2^53 ({_EXACT}); {_UNKNOWN}"
        raise DataError(path, f"the label {high}", fix)
    return _renumbered(labels) if high > _LARGEST else labels.astype(np.int32)


def refuse_mask(where: Path | str, labels: Array) -> None:
    """Refuses a mask of the foreground where every object has to have a number of its own.

    Another object may part one in two. Three pieces of like size with one number, and no other number in the
    image, are taken for a mask.

    Args:
        where: what the error names.
        labels: `(y, x)`, 0 = background.

    Raises:
        DataError: it is a mask.
    """
    values = np.unique(labels[labels > 0])
    if len(values) != 1:
        return
    pieces: Any = ndi.label(labels)
    areas = np.bincount(pieces[0].ravel())[1:]
    alike = int(np.count_nonzero(areas >= _ALIKE * areas.max()))
    if alike >= _MASK:
        found = f"a mask, not numbered objects: {alike} pieces share the number {values[0]}"
        raise DataError(where, found, "give each object a number of its own (1, 2, ...)")


def predicted_labels(folder: Path) -> Path:
    """The labels of a prediction: its store if there is one, else its file, be it there or not."""
    store = folder / STORE
    return store if store.exists() else folder / LABELS


def label_type(labels: Array) -> np.dtype[Any]:
    """The smaller of uint16 and uint32 that holds the labels."""
    return np.dtype(np.uint16 if labels.max(initial=0) <= _UINT16 else np.uint32)


def write_labels(path: Path, labels: Array, *, voxel: Voxel | None = None) -> None:
    """Writes labels as a compressed TIFF, uint16, or uint32 beyond 65,535; whole or not at all.

    Args:
        path: the file; its folder is made.
        labels: `(y, x)` or `(z, y, x)` integers, 0 = background.
        voxel: size of a pixel or voxel in nm, kept in the file.

    Raises:
        DataError: the folder may not be written to.
        ResourceError: the disk is full.
    """
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, labels.astype(label_type(labels)), **_options(labels.ndim, voxel))


def copy_labels(path: Path, labels: ArraySource, dtype: Any, *, voxel: Voxel | None = None) -> None:
    """Writes labels that are not in memory as `write_labels` does, some sections at a time.

    Args:
        path: the file; its folder is made.
        labels: `(z, y, x)` integers, 0 = background.
        dtype: of the file; the labels fit.
        voxel: size of a voxel in nm, kept in the file.

    Raises:
        DataError: the folder may not be written to.
        ResourceError: the disk is full.
    """
    slabs = (labels[start : start + _SECTIONS] for start in range(0, labels.shape[0], _SECTIONS))
    sections = (section.astype(dtype) for slab in slabs for section in slab)
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, sections, shape=labels.shape, dtype=np.dtype(dtype), **_options(3, voxel))


def _options(dimensions: int, voxel: Voxel | None) -> dict[str, Any]:
    """How tifffile writes labels."""
    metadata: dict[str, Any] = {"axes": "ZYX" if dimensions == 3 else "YX"}
    resolution: dict[str, Any] = {}
    if voxel is not None:
        resolution = {"resolution": (1e7 / voxel.x, 1e7 / voxel.y), "resolutionunit": "CENTIMETER"}
        if voxel.z is not None and dimensions == 3:
            metadata |= {"spacing": voxel.z / 1e3, "unit": "um"}
    return {"photometric": "minisblack", "compression": "zlib", "metadata": metadata, **resolution}


def _refuse_negative(path: Path, labels: Array) -> None:
    if (low := int(labels.min(initial=0))) < 0:
        fix = f"use 0 for background and 1, 2, ... for objects; {_UNKNOWN}"
        raise DataError(path, f"negative labels (lowest {low})", fix)


def _bodies(path: Path, supervoxels: Array, table: Array) -> Array:
    """The second number of the row whose first one a voxel has; without such a row the voxel's own."""
    rows = np.unique(table, axis=0)
    twice = rows[1:, 0][rows[1:, 0] == rows[:-1, 0]]
    if len(twice):
        fix = "keep one row for each supervoxel in transforms"
        raise DataError(path, f"two bodies for supervoxel {twice[0]}", fix)
    found = supervoxels.astype(np.uint64)
    if len(rows):
        for section in found:
            row = rows[np.minimum(np.searchsorted(rows[:, 0], section), len(rows) - 1)]
            np.copyto(section, row[..., 1], where=row[..., 0] == section)
    return found


def _renumbered(labels: Array) -> Array:
    """Small numbers in the place of large ones, in the same order, by sections: sorting all takes memory."""
    ids = np.unique(np.concatenate([np.zeros(1, np.int64), *(_distinct(section) for section in labels)]))
    found = np.empty(labels.shape, np.int32)
    for section, small in zip(labels, found, strict=True):
        small[...] = np.searchsorted(ids, section.astype(np.int64))
    return found


def _distinct(labels: Array) -> Array:
    return np.unique(labels).astype(np.int64)


def _single_channel(path: Path, array: Array, header: Header) -> Array:
    if array.ndim == len(header.axes.spatial):
        return array
    if header.channels == ("red", "green", "blue") and (array == array[:1]).all():
        return array[0]
    found = f"{len(header.channels)} different channels ({', '.join(header.channels)})"
    raise DataError(path, found, "save one channel that holds 0 for background and a number for each object")
