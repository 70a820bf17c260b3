"""Foreground masks out of the ways in which label files write them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array
from morula.data.labels import read_labels

__all__ = ["STRAY", "is_mask", "read_mask", "to_mask"]

STRAY = 0.005
"""Share of voxels with other values that a 0/255 mask stays below; VNC has 1 to 51 of 10^6 in a section."""

_FULL = 255
_OUTSIDE = 2
"""Outside the tissue, beside 255, in Kasthuri++."""
_FLAT = 0.5
"""Least share of neighbouring labelled pixels with one number: objects are flat, pictures are not."""


def read_mask(path: str | PathLike[str], *, ignore: Sequence[int] = ()) -> Array:
    """Reads a foreground mask, however it is written: 0/1, 0/255, sections of both, or instance numbers.

    What `read_labels` reads is read: 1 bit, grey, RGB(A) with equal colour channels, HDF5, MRC, a stack
    or a folder of sections. `to_mask` has the rules for the values.

    Args:
        path: the file, `file.h5:/key`, or a folder of sections.
        ignore: values that are neither foreground nor background (in Kasthuri++ 2 is outside the tissue);
            they are 0 here.

    Returns:
        `(z, y, x)` uint8, 0 and 1; an image has one section.

    Raises:
        DataError: unreadable, colour channels that differ, or values that are no mask.
    """
    return to_mask(_stack(read_labels(path)), ignore=ignore, where=path)


def to_mask(labels: Array, *, ignore: Sequence[int] = (), where: str | PathLike[str] = "labels") -> Array:
    """Foreground of labels that are 0/1, 0/255, a mix of both, or instance numbers: all that is not 0.

    Where 255 is most of what is not 0, other values than 0, 1, 255 are grey levels, as interpolation and
    annotation tools leave them. Less than `STRAY` of the voxels is foreground, more is refused. Otherwise
    the values are instance numbers, if neighbouring pixels mostly share theirs. 2 and 255 without others
    are what Kasthuri++ writes outside the tissue and inside mitochondria: 2 is to be ignored, or refused.

    Args:
        labels: `(z, y, x)` or `(y, x)` integers, none negative.
        ignore: values that are neither foreground nor background; 0 in the result.
        where: what to name in an error.

    Returns:
        uint8, 0 and 1, the shape of `labels`.

    Raises:
        DataError: grey levels in place of a mask, or 2 and 255.

    >>> to_mask(np.array([[0, 255, 255], [0, 2, 1]]), ignore=[2]).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    mask = (labels != 0) & ~np.isin(labels, ignore) if ignore else labels != 0
    odd = mask & (labels != 1) & (labels != _FULL)
    count = int(np.count_nonzero(odd))
    if count:
        foreground = int(np.count_nonzero(mask))
        full = int(np.count_nonzero(mask & (labels == _FULL)))
        if 0 < full == foreground - count and (labels[odd] == _OUTSIDE).all():
            raise _outside(where)
        greys = 2 * full >= foreground
        if (greys and count >= STRAY * labels.size) or (not greys and not _is_flat(labels, mask)):
            raise _ambiguous(where, labels[odd], count / labels.size)
    return mask.astype(np.uint8)


def is_mask(values: Array, counts: Array, size: int, *, where: str | PathLike[str] = "labels") -> bool:
    """Whether labels with these values are a mask, and no instance numbers, by the rules of `to_mask`.

    Args:
        values: `(n,)` all that occur in the labels, ascending; 0 may be left out.
        counts: `(n,)` voxels of each.
        size: voxels of the labels.
        where: what to name in an error.

    Raises:
        DataError: 2 and 255, as `to_mask` refuses them.

    >>> is_mask(np.array([0, 1, 255]), np.array([90, 4, 6]), 100)
    True
    >>> is_mask(np.array([0, 1, 254, 255]), np.array([90, 4, 4, 2]), 100)
    False
    """
    inside = values != 0
    values, counts = values[inside], counts[inside]
    if values.tolist() == [_OUTSIDE, _FULL]:
        raise _outside(where)
    odd = int(counts[(values != 1) & (values != _FULL)].sum())
    greys = 2 * int(counts[values == _FULL].sum()) >= int(counts.sum())
    return len(values) < 2 or odd == 0 or (greys and odd < STRAY * size)


def _is_flat(labels: Array, mask: Array) -> bool:
    both = mask[..., 1:] & mask[..., :-1]
    pairs = int(np.count_nonzero(both))
    equal = int(np.count_nonzero(both & (labels[..., 1:] == labels[..., :-1])))
    return equal >= _FLAT * pairs


def _ambiguous(where: str | PathLike[str], odd: Array, share: float) -> DataError:
    values = np.unique(odd)
    told = ", ".join(map(str, values[:4].tolist())) + (", ..." if len(values) > 4 else "")
    found = f"neither a mask nor instance numbers: {share:.1%} of the voxels are grey levels ({told})"
    return DataError(where, found, "save 0 and 255, or a number for each object, without interpolation")


def _outside(where: str | PathLike[str]) -> DataError:
    found = "the values 2 and 255 alone: in Kasthuri++ 2 is outside the tissue, which is no object"
    return DataError(where, found, "save 0 in place of 2; objects that are numbered need other numbers")


def _stack(labels: Array) -> Array:
    return labels if labels.ndim == 3 else labels[None]
