"""One array of a Zarr store, opened where it is used, so that it travels to other processes as a name."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, ResourceError, reason_of
from morula.core.files import is_full
from morula.core.types import Array
from morula.data.box import bounding_box
from morula.data.reading import check_finite

__all__ = ["StoredArray", "is_remote", "opened_group", "storing", "zarr"]

zarr: Any = import_module("zarr")
_fsspec: Any = import_module("fsspec")
_sync: Any = import_module("zarr.core.sync").sync


class StoredArray:
    """An array of a store, read and written by boxes.

    Args:
        uri: of the store.
        path: of the array in it.
        writable: whether boxes may be assigned.
        full: write chunks that hold nothing but zeros, too, so that a chunk that is not there is missing.
        finite: refuse NaN and infinity where they are read.

    Raises:
        DataError: when it is used and there is no such array.
    """

    def __init__(
        self, uri: str, path: str, *, writable: bool = False, full: bool = False, finite: bool = False
    ) -> None:
        self._uri, self._path, self._writable, self._full, self._finite = uri, path, writable, full, finite

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._uri, self._path, self._writable, self._full, self._finite)

    @property
    def where(self) -> str:
        """The store and the path in it."""
        return f"{self._uri}/{self._path}" if self._path else self._uri

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return tuple(map(int, self._array.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return np.dtype(self._array.dtype)

    @property
    def unit(self) -> tuple[int, ...]:
        """What is written at once: a shard, or a chunk where there are none."""
        return tuple(map(int, self._array.shards or self._array.chunks))

    @property
    def attributes(self) -> dict[str, Any]:
        """What the array says of itself."""
        return dict(self._array.attrs)

    @property
    def fill(self) -> float | None:
        """What is read in the place of an object that is not in the store; None where nothing should be."""
        found = self._array.metadata.fill_value
        return None if found is None else np.asarray(found).item()

    @property
    def missing(self) -> tuple[int, int]:
        """How many of its objects (shards or chunks) are not in the store, and how many there should be."""
        grid = tuple(-(-size // unit) for size, unit in zip(self.shape, self.unit, strict=True))
        with storing(self.where):
            # zarr counts by looking for every chunk in a list of all: too slow for large stores
            place, name_of = self._array.store_path, self._array.metadata.encode_chunk_key
            there = set(_sync(_listed(place.store, place.path)))
            root = f"{place.path}/" if place.path else ""
            lost = sum(root + name_of(chunk) not in there for chunk in np.ndindex(grid))
        return lost, int(np.prod(grid))

    def __getitem__(self, key: Any, /) -> Array:
        boxed = bounding_box(key, self.shape)
        box, rest = (..., key) if boxed is None else boxed
        with storing(self.where):
            values = np.asarray(self._array[box])
        if self._finite:
            check_finite(self.where, values)
        return values[rest]

    def __setitem__(self, box: tuple[slice, ...], values: Array) -> None:
        with storing(self.where):
            self._array[box] = values

    @cached_property
    def _array(self) -> Any:
        with storing(self.where):
            mode = "r+" if self._writable else "r"
            # without it zarr can also open a group, which is then told as what it is
            options: dict[str, Any] = {"config": {"write_empty_chunks": True}} if self._full else {}
            found = zarr.open(store=self._uri, path=self._path, mode=mode, **options)
        if not isinstance(found, zarr.Array):
            raise DataError(self.where, "a group where an array should be", "name the array of one level")
        return found


def is_remote(uri: str | os.PathLike[str]) -> bool:
    """Whether a name is a URL and not a path.

    >>> is_remote("s3://bucket/a.zarr"), is_remote("a.zarr")
    (True, False)
    """
    return "://" in str(uri)


def opened_group(uri: str) -> Any:
    """A group of a store for reading.

    Raises:
        DataError: there is none, or it may not be read.
    """
    if not is_remote(uri) and not Path(uri).exists():
        raise DataError(uri, "no such file or folder", "check the path")
    with storing(uri):
        try:
            found = zarr.open(store=uri, mode="r")
        except FileNotFoundError as error:
            raise DataError(uri, "no Zarr store there", "check the address") from error
    if not isinstance(found, zarr.Group):
        fix = "name the group that holds the multiscales, or a level inside it"
        raise DataError(uri, "a Zarr array without OME-Zarr metadata", fix)
    return found


@contextmanager
def storing(where: str) -> Generator[None]:
    """Turns what a store may fail with into an error that names it.

    Raises:
        DataError: damaged chunks or metadata, no permission, or no such array.
        ResourceError: the disk is full, the memory is, or the network fails.
    """
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(where, "no permission to use this store", "change its permissions") from error
    except FileNotFoundError as error:
        raise DataError(where, "no such array in the store", "check the path, or copy it again") from error
    except MemoryError as error:
        raise ResourceError(where, "too large for the free memory", "read a smaller box") from error
    except OSError as error:
        if is_full(error):
            fix = "free some space and repeat the command"
            raise ResourceError(where, "the disk is full", fix) from error
        raise ResourceError(
            where, f"the store failed ({reason_of(error)})", "see that disk and network are well"
        ) from error
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        found = f"damaged, cut short, or not Zarr ({reason_of(error)})"
        raise DataError(where, found, "copy it again from where it came") from error


def _restored(uri: str, path: str, writable: bool, full: bool, finite: bool) -> StoredArray:
    return StoredArray(uri, path, writable=writable, full=full, finite=finite)


async def _listed(store: Any, prefix: str) -> list[str]:
    return [key async for key in store.list_prefix(prefix)]
