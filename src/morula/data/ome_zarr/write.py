"""Writing OME-Zarr: empty pyramids to be filled block by block, or whole arrays at once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, UsageError
from morula.core.files import has_content
from morula.core.types import Array, Axes, Voxel
from morula.data.ome_zarr.metadata import Layout, Version, described, parsed
from morula.data.ome_zarr.pyramid import Shrinking, factors_of, shrink
from morula.data.ome_zarr.store import StoredArray, is_remote, storing, zarr
from morula.data.whole import atomic_folder

__all__ = ["create_image", "create_labels", "scratch", "write_image", "write_labels"]

_CHUNK = {"c": 1, "z": 32, "y": 128, "x": 128}
_SHARD = {"c": 1, "z": 64, "y": 256, "x": 256}
_PLANE = {"c": 1, "y": 512, "x": 512}
_SHARD_PLANE = {"c": 1, "y": 2048, "x": 2048}
# zstd as is Zarr's default, but of level 1: a third of the time for a few percent of the size
_COMPRESSORS = {
    2: {"id": "zstd", "level": 1},
    3: {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
}


def create_image(
    uri: str | Path,
    shape: Sequence[int],
    dtype: Any,
    axes: Axes,
    voxel: Voxel | None = None,
    *,
    name: str = "image",
    channels: Sequence[str] = (),
    version: Version = "0.5",
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> list[StoredArray]:
    """An image without pixels yet.

    Args:
        uri: of the store, which must not exist.
        shape: of the largest level.
        dtype: of the pixels.
        axes: of the array.
        voxel: its size in nm.
        name: of the image.
        channels: what each channel shows.
        version: 0.5 on Zarr 3 with shards, or 0.4 on Zarr 2 without.
        chunks: what is compressed at once; 32 x 128 x 128 voxels by default.
        shards: what is one object in the store; 64 x 256 x 256 voxels by default.
        attributes: of the group, beside those of OME-Zarr.

    Returns:
        The levels, the largest first, to be written by boxes.

    Raises:
        UsageError: there is something already.
        DataError: the folder may not be written to, or an axis has the size zero.
    """
    _check_new(str(uri), shape)
    layout = Layout(axes, voxel, factors_of(shape, axes, voxel), version, name, tuple(channels))
    return _create(str(uri), "", shape, dtype, layout, (chunks, shards), attributes or {}, sparse=False)


def create_labels(
    uri: str | Path,
    name: str,
    shape: Sequence[int],
    axes: Axes,
    voxel: Voxel | None = None,
    *,
    dtype: Any = np.uint32,
    version: Version = "0.5",
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
) -> list[StoredArray]:
    """Labels without voxels yet, under `labels/<name>` of an image.

    Args:
        uri: of the image's store, which is there.
        name: of the labels.
        shape: of the largest level.
        axes: of the array, without channels.
        voxel: its size in nm.
        dtype: an integer type.
        version: of OME-Zarr, as the image has it.
        chunks: as for an image.
        shards: as for an image.

    Returns:
        The levels, the largest first, to be written by boxes.

    Raises:
        UsageError: there are labels of this name already.
        DataError: no image, no permission, or a size of zero.
    """
    path = f"labels/{name}"
    _check_shape(f"{uri}/{path}", shape)
    layout = Layout(axes, voxel, factors_of(shape, axes, voxel), version, name)
    with storing(str(uri)):
        root = zarr.open_group(store=str(uri), mode="r+")
        parsed(dict(root.attrs), str(uri))
        if path in root:
            raise UsageError(f"{uri}/{path}", "labels of this name exist", "choose another name")
        table = root.require_group("labels")
        ome = dict(table.attrs.get("ome", {})) if version == "0.5" else dict(table.attrs)
        ome["labels"] = sorted({*ome.get("labels", []), name})
        table.attrs.update({"ome": {"version": "0.5", **ome}} if version == "0.5" else ome)
    return _create(str(uri), path, shape, dtype, layout, (chunks, shards), {}, sparse=True)


def write_image(
    uri: str | Path,
    array: Array,
    axes: Axes,
    voxel: Voxel | None = None,
    *,
    how: Shrinking = "mean",
    **options: Any,
) -> None:
    """Writes an image that is in memory, with its pyramid; a failed attempt leaves nothing behind.

    Args:
        uri: of the store, which must not exist.
        array: the pixels.
        axes: of the array.
        voxel: its size in nm.
        how: a voxel of a smaller level is made of those it covers: `mode` for labels.
        options: of `create_image`.

    Raises:
        UsageError: there is something already.
        DataError: the folder may not be written to, or an axis has the size zero.
    """
    _check_new(str(uri), array.shape)
    try:
        _fill(create_image(uri, array.shape, array.dtype, axes, voxel, **options), array, how)
    except BaseException:
        if not is_remote(uri):
            shutil.rmtree(uri, ignore_errors=True)
        raise


def write_labels(
    uri: str | Path, name: str, labels: Array, axes: Axes, voxel: Voxel | None = None, **options: Any
) -> None:
    """Writes labels that are in memory beside an image, with their pyramid.

    Args:
        uri: of the image's store.
        name: of the labels.
        labels: integers, 0 = background.
        axes: of the array.
        voxel: its size in nm.
        options: of `create_labels`.

    Raises:
        UsageError: there are labels of this name already.
        DataError: no image, no permission, labels that are no integers, or a size of zero.
    """
    if labels.dtype.kind not in "iu":
        raise DataError(f"{uri}/labels/{name}", f"labels of type {labels.dtype}", "give whole numbers")
    _fill(create_labels(uri, name, labels.shape, axes, voxel, **options), labels, "mode")


def scratch(store: Path, shape: Sequence[int], dtype: Any, chunks: Sequence[int]) -> StoredArray:
    """A plain array for what lies between two steps; the one that is there where it fits.

    Args:
        store: its folder; what is there and no array is replaced.
        shape: of the array.
        dtype: of its elements.
        chunks: what is one object in the store.

    Raises:
        UsageError: there is another array.
        DataError: the folder may not be written to.
        ResourceError: the disk is full.
    """
    found = StoredArray(str(store), "", writable=True)
    small = tuple(min(a, b) for a, b in zip(chunks, shape, strict=True))
    if not has_content(store / "zarr.json"):
        with atomic_folder(store) as temporary, storing(str(store)):
            zarr.create_array(
                store=str(temporary),
                shape=tuple(shape),
                dtype=np.dtype(dtype),
                chunks=small,
                compressors=_COMPRESSORS[3],
                fill_value=0,
            )
    if (found.shape, found.dtype, found.unit) != (tuple(shape), np.dtype(dtype), small):
        raise UsageError(store, f"an array {found.shape} {found.dtype}", "remove it and begin anew")
    return found


def _create(
    uri: str,
    path: str,
    shape: Sequence[int],
    dtype: Any,
    layout: Layout,
    sizes: tuple[Sequence[int] | None, Sequence[int] | None],
    extra: Mapping[str, Any],
    *,
    sparse: bool,
) -> list[StoredArray]:
    order, format_ = layout.axes.order, 3 if layout.version == "0.5" else 2
    chunk = _sizes(order, _CHUNK if "z" in order else _PLANE, sizes[0])
    shard = _sizes(order, _SHARD if "z" in order else _SHARD_PLANE, sizes[1])
    attributes = {**described(layout, [str(n) for n in range(len(layout.factors))]), **extra}
    if path:
        background = {"label-value": 0, "rgba": [0, 0, 0, 0]}
        seen = {"colors": [background], "source": {"image": "../../"}}
        place = attributes["ome"] if format_ == 3 else attributes
        place["image-label"] = seen if format_ == 3 else {"version": "0.4", **seen}
    with storing(uri):
        zarr.create_group(store=uri, path=path, zarr_format=format_, attributes=attributes)
        for number, factors in enumerate(layout.factors):
            size = tuple(-(-length // factor) for length, factor in zip(shape, factors, strict=True))
            small = tuple(min(a, b) for a, b in zip(chunk, size, strict=True))
            zarr.create_array(
                store=uri,
                name=f"{path}/{number}".lstrip("/"),
                shape=size,
                dtype=np.dtype(dtype),
                chunks=small,
                shards=_multiple(small, shard, size) if format_ == 3 else None,
                compressors=_COMPRESSORS[format_],
                fill_value=0,
                zarr_format=format_,
                dimension_names=list(order) if format_ == 3 else None,
                chunk_key_encoding=None if format_ == 3 else {"name": "v2", "separator": "/"},
                config={"write_empty_chunks": not sparse},
            )
    return [
        StoredArray(uri, f"{path}/{number}".lstrip("/"), writable=True, full=not sparse)
        for number in range(len(layout.factors))
    ]


def _sizes(order: str, default: Mapping[str, int], given: Sequence[int] | None) -> tuple[int, ...]:
    return tuple(given) if given is not None else tuple(default[axis] for axis in order)


def _multiple(chunk: Sequence[int], shard: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """A shard is whole chunks, and no larger than the array needs."""
    return tuple(
        part * max(1, min(-(-whole // part), -(-length // part)))
        for part, whole, length in zip(chunk, shard, size, strict=True)
    )


def _check_new(uri: str, shape: Sequence[int]) -> None:
    _check_shape(uri, shape)
    if is_remote(uri):
        return
    path = Path(uri)
    if path.exists():
        raise UsageError(uri, "there is something already", "choose another --out, or move it away")


def _check_shape(uri: str, shape: Sequence[int]) -> None:
    if not prod(shape):
        size = " x ".join(map(str, shape))
        raise DataError(uri, f"an axis of size zero ({size})", "write an image that has voxels")


def _fill(levels: Sequence[StoredArray], array: Array, how: Shrinking) -> None:
    """Every level is made from the last, as block by block."""
    whole = (slice(None),) * array.ndim
    for number, level in enumerate(levels):
        if number:
            steps = [-(-a // b) for a, b in zip(array.shape, level.shape, strict=True)]
            array = shrink(array, steps, how)
        level[whole] = array.astype(level.dtype, copy=False)
