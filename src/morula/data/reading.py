"""What a file says about itself, and how what goes wrong in reading it becomes an error a user can act on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from morula.core.errors import DataError, ResourceError, reason_of
from morula.core.types import Array, Axes, Voxel

__all__ = [
    "MAX_PIXELS",
    "Header",
    "check_file",
    "check_finite",
    "check_header",
    "image_id",
    "reading",
    "tells_labels",
]

MAX_PIXELS = 2**28
"""Most pixels in one plane (16,384 x 16,384); a header that claims more is refused before decoding."""

MAX_EXPANSION = 2_000
"""Most decoded bytes per byte on disk once an image passes `FREE_BYTES`; zlib itself stops near 1,000."""

FREE_BYTES = 2**28

# What decoders raise for damaged bytes: imagecodecs RuntimeError, Pillow SyntaxError for a broken PNG,
# tifffile whatever its arithmetic on damaged tags runs into.
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Header:
    """What an image file declares, read without decoding the pixels.

    Attributes:
        shape: size along each of `axes` after decoding (alpha dropped, palette expanded).
        dtype: element type after decoding.
        axes: meaning of each axis.
        channels: what each channel shows.
        voxel: pixel size in nm, None where the file does not say.
        in_parts: whether a part of an image or section can be read without the rest, so that it may be of any
            size.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    axes: Axes
    channels: tuple[str, ...] = ("grey",)
    voxel: Voxel | None = None
    in_parts: bool = False


def image_id(path: str | PathLike[str]) -> str:
    """A file's name without its extension, `.ome.tif` counting as one.

    >>> image_id("plate/a1.ome.tif")
    'a1'
    """
    return Path(path).stem.removesuffix(".ome")


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turns every failure of a decoder inside the block into an error that names `path`.

    Args:
        path: the file that is being read.
        kind: what it should be, as in "TIFF file".

    Raises:
        DataError: the file is damaged, is not a `kind`, or may not be read.
        ResourceError: it does not fit in memory.
    """
    try:
        yield
    except PermissionError as error:
        raise DataError(path, "no permission to read it", "change its permissions or copy it") from error
    except MemoryError as error:
        raise ResourceError(path, "too large for the free memory", "cut it into smaller tiles") from error
    except _DAMAGE as error:
        found = f"damaged, cut short, or not a {kind} ({reason_of(error)})"
        raise DataError(path, found, "copy it again from where it came, or leave it out") from error


def check_file(path: Path, kind: str = "image") -> None:
    """Refuses what cannot be a `kind` before any decoder sees it.

    Raises:
        DataError: the path is missing, a folder, empty, behind a file, or cannot be read.
    """
    if path.is_dir():
        raise DataError(path, f"a folder, not an {kind} file", f"name an {kind} file inside it")
    try:
        with path.open("rb") as stream:
            start = stream.read(1)
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "check the path") from error
    except NotADirectoryError as error:
        file = next(parent for parent in path.parents if parent.exists())
        key = f"name it {file.name}:/{path.relative_to(file).as_posix()}"
        fix = key if h5py.is_hdf5(file) else "check the path"
        raise DataError(path, f"{file.name} is a file, not a folder", fix) from error
    except PermissionError as error:
        raise DataError(path, "no permission to read it", "change its permissions or copy it") from error
    except OSError as error:
        found = f"cannot be opened ({reason_of(error)})"
        raise DataError(path, found, "check the path, and see that its disk is well") from error
    if not start:
        raise DataError(path, "the file is empty (0 bytes)", "copy it again from where it came")


def check_header(path: Path, header: Header, size: int | None) -> None:
    """Refuses a header that no sound image has, before its pixels are decoded.

    Args:
        path: what to name in an error.
        header: what the file declares.
        size: bytes of the file; None where it may hold less than it declares, as an HDF5 file does that
            leaves out chunks nobody wrote.

    Raises:
        DataError: complex numbers, or a size that the file cannot hold (a decompression bomb).
    """
    if header.dtype.kind not in "buif":
        raise DataError(path, f"pixels of type {header.dtype}", "save real numbers (8 or 16 bit, or float)")
    height, width = header.shape[-2:]
    claimed = int(np.prod(header.shape, dtype=np.float64) * header.dtype.itemsize)
    large = height * width > MAX_PIXELS and not header.in_parts
    bomb = size is not None and claimed > max(FREE_BYTES, MAX_EXPANSION * size)
    if large or bomb:
        found = f"claims {_times(header.shape)} pixels, {claimed / 1e9:.1f} GB once decoded"
        raise DataError(path, found, f"cut it into tiles of at most {MAX_PIXELS:,} pixels")


def check_finite(where: str | PathLike[str], array: Array) -> None:
    """Refuses pixels that were read and are no numbers.

    Raises:
        DataError: NaN or infinity.
    """
    if array.dtype.kind != "f":
        return
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        found = f"{bad:,} of {array.size:,} pixels are not finite (NaN or infinity)"
        raise DataError(where, found, "replace them with numbers, or leave the image out")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)


def tells_labels(indices: Array, colours: Array) -> bool:
    """Whether the colours of a palette are the labels, and not the numbers that stand for the colours.

    They are where they are greys that differ and leave background, 0, what it is.

    Args:
        indices: `(n,)` those that an image uses.
        colours: `(n, 3)` of each.

    >>> tells_labels(np.array([0, 1]), np.array([[0, 0, 0], [255, 255, 255]]))
    True
    >>> tells_labels(np.array([0, 1, 2]), np.array([[0, 0, 0], [255, 255, 255], [255, 255, 255]]))
    False
    """
    greys = colours[:, 0]
    if (colours != greys[:, None]).any() or len(np.unique(greys)) < len(greys):
        return False
    return bool((greys[indices == 0] == 0).all())
