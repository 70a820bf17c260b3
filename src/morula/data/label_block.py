"""A volume of which a block is labelled: the block is a part with an offset, or zeros surround it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morula.core.errors import DataError, UsageError, times
from morula.core.types import Array, Record, Volume, Voxel
from morula.data import hdf5, ome_zarr
from morula.data.open import read_header
from morula.data.scattered import told_apart
from morula.data.turned import Stored, places
from morula.data.volumes import load_volumes, read_label_stack

__all__ = ["load_block"]

Offset = tuple[int, int, int]

_WHOLE = 0.05  # of a voxel; no farther from a whole number of them does a stated offset in nm lie


def load_block(
    volume: Path,
    labels: Path,
    *,
    offset: Offset | None = None,
    voxel: Voxel | None = None,
    stored: Stored = "zyx",
) -> Record:
    """Opens a volume and the labels of a block of it, and reads both once.

    Labels as large as the volume are 0 where nothing was labelled: the smallest box that holds all others is
    the block, and a 0 inside it means "no neuron" only between neurons and beside them (`told_apart`), else
    it becomes -1. Smaller labels are a block in which every 0 means "no neuron", placed by the offset that is
    given, or by the attribute `offset` of an HDF5 data set or a Zarr array as CREMI's padded files have it,
    in nm, or by the `translation` of OME-Zarr. What makes voxels of it is the size that the files themselves
    state, where they do, not `voxel`.

    Args:
        volume: one volume, by the rules of `load_volumes`.
        labels: labels of it or of a block.
        offset: of the block's first voxel in the volume, z, y, x.
        voxel: size of a voxel in nm, in the place of what the file says.
        stored: the order of the axes in both files; offset and voxel are z, y, x all the same.

    Returns:
        A record whose labels are those of its `box`, int32, -1 where nothing was labelled.

    Raises:
        DataError: a file cannot be used, the labels are larger than the volume, hold nothing, or state voxels
            of another size than the volume's file does.
        UsageError: the offset is missing, puts the block outside of the volume, or is stated between voxels.
    """
    found, _ = load_volumes(volume, stored=stored)
    if len(found) != 1:
        fix = "name the one that the labels belong to"
        raise DataError(volume, f"{len(found)} volumes for one block of labels", fix)
    (record,) = found
    own = _checked_size(labels, record.image, voxel, stored)
    record = replace(record, image=record.image.sized(voxel))
    block = read_label_stack(labels, stored)
    whole = record.image.spatial_shape
    if any(ours > theirs for ours, theirs in zip(block.shape, whole, strict=True)):
        told = f"labels of {times(block.shape)}, but the volume {record.image.uri} is {times(whole)}"
        raise DataError(labels, told, "give labels of the volume or of a part of it, axes z, y, x")
    stated = offset or _stated(labels, block.shape, record.image, own, stored)
    start = _placed(labels, block.shape, record.image, stated)
    inner = _filled(labels, block)
    box = tuple(slice(at + each.start, at + each.stop) for at, each in zip(start, inner, strict=True))
    read = _Block(labels, stored, inner, record.image.voxel, scattered=block.shape == whole)
    return replace(record, labels=read, box=box)


@dataclass(frozen=True)
class _Block:
    """Reads the labels of a box; picklable, so that records travel to worker processes."""

    path: Path
    stored: Stored
    inner: tuple[slice, ...]
    voxel: Voxel | None
    scattered: bool

    def __call__(self) -> Array:
        found = read_label_stack(self.path, self.stored)[self.inner]
        return told_apart(found, self.voxel) if self.scattered else found


def _placed(labels: Path, shape: tuple[int, ...], image: Volume, start: Offset | None) -> tuple[int, ...]:
    """The first voxel of the block in the volume, checked."""
    whole = image.spatial_shape
    if start is None:
        if shape != whole:
            found = f"a block of {times(shape)} in a volume of {times(whole)}, and nothing says where it lies"
            raise UsageError("--label-offset", found, "give its first voxel, Z Y X")
        return (0, 0, 0)
    if any(at < 0 or at + ours > theirs for at, ours, theirs in zip(start, shape, whole, strict=True)):
        told = " ".join(map(str, start))
        found = f"at {told} a block of {times(shape)} leaves the volume of {times(whole)}"
        raise UsageError("--label-offset", found, "give its first voxel in the volume, Z Y X")
    return start


def _checked_size(labels: Path, image: Volume, told: Voxel | None, stored: Stored) -> Voxel | None:
    """The size of a voxel that the labels state, else the one that the volume's file does.

    Both have to agree, where the user does not side with the labels.
    """
    stated = read_header(labels).voxel if _has_attributes(labels) else None
    if stated is None or stated.z is None:
        return image.voxel
    z, y, x = (_edges(stated)[each] for each in places(stored))
    size = Voxel(z=z, y=y, x=x)
    if image.voxel is not None and image.voxel.z is not None and not _agree(size, image.voxel, told):
        found = f"voxels of {_told(size)} nm, but those of {image.uri} are {_told(image.voxel)}"
        raise DataError(labels, found, "give labels of the volume at its own resolution")
    return size


def _agree(size: Voxel, *others: Voxel | None) -> bool:
    """Whether one of the others is the same size."""
    return any(other is not None and np.allclose(_edges(other), _edges(size), rtol=1e-3) for other in others)


def _stated(
    labels: Path, shape: tuple[int, ...], image: Volume, own: Voxel | None, stored: Stored
) -> Offset | None:
    """The offset that the file states along its axes, in voxels z, y, x, less that of the volume.

    Where volume and labels are equally large, less than a voxel is what software disagrees about: whether a
    place is that of a voxel's corner or of its centre.
    """
    size = own or image.voxel
    stated = _offset_nm(labels)
    if stated is None or size is None or size.z is None:
        return None
    first = _offset_nm(image.uri) or (0.0, 0.0, 0.0)
    from_own = [stated[each] - first[each] for each in places(stored)]
    voxels = np.divide(from_own, _edges(size))
    if shape == image.spatial_shape and np.all(np.abs(voxels) < 1):
        return (0, 0, 0)
    z, y, x = map(int, np.round(voxels))
    if np.any(np.abs(voxels - (z, y, x)) > _WHOLE):
        found = f"the offset that {labels} states is no place of a voxel: read as nm it is {_numbers(voxels)}"
        found += f" voxels of {_told(size)} nm, but as voxels {_numbers(from_own)}"
        fix = "give the block's first voxel, Z Y X, or store its offset in nm"
        raise UsageError("--label-offset", found, fix)
    return z, y, x


def _numbers(each: Iterable[float]) -> str:
    return " ".join(f"{number:.6g}" for number in each)


def _has_attributes(path: Path) -> bool:
    """Whether a size in a file is one that somebody stated of it; TIFFs have made-up ones."""
    return hdf5.is_hdf5(path) or ome_zarr.is_ome_zarr(path)


def _offset_nm(uri: Path | str) -> tuple[float, float, float] | None:
    if ome_zarr.is_ome_zarr(uri):
        return ome_zarr.offset_nm(uri)
    return hdf5.offset_nm(Path(uri)) if hdf5.is_hdf5(Path(uri)) else None


def _edges(size: Voxel) -> tuple[float, float, float]:
    return size.z or 0.0, size.y, size.x


def _told(size: Voxel) -> str:
    return " x ".join(f"{edge:g}" for edge in _edges(size))


def _filled(path: Path, labels: Array) -> tuple[slice, ...]:
    """The smallest box around all that is not 0."""
    inside = [np.flatnonzero(labels.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not len(inside[0]):
        raise DataError(
            path, "every label is 0", "number the neurons 1, 2, ... and leave 0 where none was labelled"
        )
    return tuple(slice(int(places[0]), int(places[-1]) + 1) for places in inside)
