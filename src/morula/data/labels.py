"""Label images: 0 is background, 1..N are objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from morula.core.errors import DataError
from morula.core.files import atomic_path
from morula.core.types import Array, Voxel
from morula.data.open import open_volume

__all__ = ["check_labels", "read_labels", "write_labels"]

_UINT16 = 65_535


def read_labels(path: Path) -> Array:
    """A label image, `(y, x)` or `(z, y, x)` int32.

    Raises:
        DataError: it cannot be read, is in colour, has negative or fractional values.
    """
    volume = open_volume(path)
    pixels = volume.read()
    if volume.is_rgb:
        if not (pixels == pixels[:1]).all():
            raise DataError(
                path, "the label image is in colour", "save the object numbers as a grey 16-bit image"
            )
        pixels = pixels[0]
    return check_labels(path, pixels)


def check_labels(path: Path, pixels: Array) -> Array:
    """The same labels as int32.

    Raises:
        DataError: there are negative values, or they are no integers.
    """
    if pixels.dtype.kind not in "bui":
        fix = "save the object numbers as 16-bit integers"
        raise DataError(path, f"the labels are {pixels.dtype}, not integers", fix)
    low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if low < 0:
        raise DataError(path, f"the labels go down to {low}", "use 0 for background and 1..N for objects")
    if high > np.iinfo(np.int32).max:
        raise DataError(path, f"the labels go up to {high}", "number the objects 1..N")
    return pixels.astype(np.int32)


def write_labels(path: Path, labels: Array, *, voxel: Voxel | None = None) -> None:
    """Writes labels as a compressed TIFF, uint16, or uint32 past 65,535 objects; whole or not at all.

    Args:
        path: the file; its folder is made.
        labels: `(y, x)` or `(z, y, x)` integers.
        voxel: pixel size in nm, kept in the file.
    """
    dtype = np.uint16 if int(labels.max(initial=0)) <= _UINT16 else np.uint32
    extra = {}
    if voxel is not None:
        extra = {"resolution": (1e7 / voxel.x, 1e7 / voxel.y), "resolutionunit": "CENTIMETER"}
    with atomic_path(path) as temporary:
        axes = {"axes": "ZYX" if labels.ndim == 3 else "YX"}
        tifffile.imwrite(temporary, labels.astype(dtype), compression="zlib", metadata=axes, **extra)
