"""Boxes of arrays: the one that an index touches, and a volume that is a part of another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from morula.core.types import Array, ArraySource, Volume

__all__ = ["bounding_box", "crop"]


def bounding_box(key: Any, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[Any, ...]] | None:
    """Splits an index into a box and what is left to do inside it: `a[key]` is `a[box][rest]`.

    Args:
        key: integers, slices, `...` and arrays, as numpy takes them.
        shape: of the array.

    Returns:
        A slice with step 1 for each axis and the remaining index, None where an index is of another kind.

    Raises:
        IndexError: an integer outside the array, or more of them than axes.

    >>> bounding_box((3, slice(None, None, -2)), (5, 4))
    ((slice(3, 4, None), slice(1, 4, None)), (0, slice(2, None, -2)))
    """
    entries = list(key) if isinstance(key, tuple) else [key]
    places = [number for number, entry in enumerate(entries) if entry is Ellipsis]
    if len(places) > 1 or any(entry is None or isinstance(entry, bool) for entry in entries):
        return None
    if not places:
        entries, places = [*entries, Ellipsis], [len(entries)]
    missing = len(shape) - (len(entries) - 1)
    if missing < 0:
        raise IndexError(f"{len(entries) - 1} indices for {len(shape)} axes")
    entries[places[0] : places[0] + 1] = [slice(None)] * missing
    split = [_along(entry, size) for entry, size in zip(entries, shape, strict=True)]
    boxes = [each for each in split if each is not None]
    if len(boxes) < len(split):
        return None
    rest = [each for _, each in boxes]
    if not missing and places[0] < len(rest):
        rest.insert(places[0], Ellipsis)  # of no axis, but between two arrays it turns the result
    return tuple(box for box, _ in boxes), tuple(rest)


def _along(entry: Any, size: int) -> tuple[slice, Any] | None:
    """The box and the rest along one axis."""
    if isinstance(entry, slice):
        return _of_slice(entry, size)
    index = np.asarray(entry)
    if index.dtype.kind not in "iu":
        return None
    if index.size == 0:
        return slice(0, 0), index
    low, high = int(index.min()), int(index.max())
    if low < -size or high >= size:
        raise IndexError(f"index {low if low < -size else high} for an axis of size {size}")
    index = np.where(index < 0, index + size, index)
    start = int(index.min())
    return slice(start, int(index.max()) + 1), int(index) - start if index.ndim == 0 else index - start


def _of_slice(entry: slice, size: int) -> tuple[slice, slice]:
    numbers = range(size)[entry]
    if not numbers:
        return slice(0, 0), slice(None)
    first, last = min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1])
    rest = slice(None, None, numbers.step) if numbers.step > 0 else slice(last - first, None, numbers.step)
    return slice(first, last + 1), rest


def crop(volume: Volume, box: tuple[slice, ...]) -> Volume:
    """A part of a volume as a volume, read no earlier and no further than it is sliced.

    Args:
        volume: the whole.
        box: one slice with step 1 for each of its axes.

    Raises:
        ValueError: not one slice with step 1 for each axis.
    """
    bounds = tuple(each.indices(size) for each, size in zip(box, volume.shape, strict=True))
    if any(step != 1 for *_, step in bounds):
        raise ValueError(f"{volume.uri}: cannot crop in steps ({box})")
    inside = tuple(slice(start, max(start, stop)) for start, stop, _ in bounds)
    where = ",".join(f"{each.start}:{each.stop}" for each in inside)
    return replace(volume, source=_Part(volume.source, inside), stamp=f"{volume.stamp}[{where}]")


@dataclass(frozen=True)
class _Part:
    source: ArraySource
    box: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(each.stop - each.start for each in self.box)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.source.dtype)

    def __getitem__(self, key: Any, /) -> Array:
        boxed = bounding_box(key, self.shape)
        if boxed is None:
            return np.asarray(self.source[self.box])[key]
        inner, rest = boxed
        moved = tuple(
            slice(outer.start + each.start, outer.start + each.stop)
            for outer, each in zip(self.box, inner, strict=True)
        )
        return np.asarray(self.source[moved])[rest]
