"""Which box of an array an index touches, so that a file reader has to read no more."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bounding_box"]


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
    return tuple(box for box, _ in boxes), tuple(rest for _, rest in boxes)


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
