"""Opens one image of any common format as a `Volume`, or says what is wrong with it."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from morula.core.errors import DataError
from morula.core.types import Array, Axes, Volume, Voxel
from morula.data.tiff import TiffHeader, read_header, read_tiff

__all__ = ["IMAGE_SUFFIXES", "TIFF_SUFFIXES", "check_pixels", "open_volume", "read_pixels"]

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp"}

_SMALLEST = 16  # pixels along an edge; below, no cell has a shape
_MOST_PIXELS = 2**30  # 2D pixels of one file that is decoded whole
_RGB = ("red", "green", "blue")


class _File:
    """An image file that is decoded whenever it is sliced, so that a folder never fills the memory."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], channels_last: bool) -> None:
        self._path, self.shape, self.dtype, self._channels_last = path, shape, dtype, channels_last

    def __getitem__(self, key: Any, /) -> Array:
        pixels = read_pixels(self._path)
        return (np.moveaxis(pixels, -1, 0) if self._channels_last else pixels)[key]


def open_volume(path: str | os.PathLike[str], *, voxel: Voxel | None = None) -> Volume:
    """Reads the header of an image; pixels are decoded when the volume is sliced.

    PNG, JPEG, BMP, TIFF and OME-TIFF; 8 and 16 bit, float, 1 bit; grey, RGB, palette; alpha is dropped.

    Args:
        path: the file.
        voxel: size of a pixel in nm, used where the file does not say.

    Raises:
        DataError: the file is missing, empty, truncated, no image, too small, too large, or has axes that
            Morula does not read (time, several positions).
    """
    path = Path(path)
    _check_file(path)
    header = read_header(path) if path.suffix.lower() in TIFF_SUFFIXES else _pillow_header(path)
    _check_size(path, header)
    rgb = header.channels_last
    axes = Axes(("c" if rgb or header.has_channel_axis else "") + header.spatial)
    shape = (3, *header.shape[:-1]) if rgb else header.shape
    channels = (
        _RGB if rgb else tuple(f"channel {i}" for i in range(shape[0])) if axes.has_channels else ("grey",)
    )
    stat = path.stat()
    return Volume(
        _File(path, shape, header.dtype, rgb),
        axes,
        str(path),
        voxel=header.voxel or voxel,
        channels=channels,
        stamp=f"{stat.st_size}-{stat.st_mtime_ns}",
    )


def check_pixels(volume: Volume) -> None:
    """Decodes the whole image.

    Raises:
        DataError: it is truncated, or holds numbers that are not finite.
    """
    pixels = volume.read()
    if np.issubdtype(pixels.dtype, np.floating):
        bad = int(np.count_nonzero(~np.isfinite(pixels)))
        if bad:
            found = f"{bad} of {pixels.size} values are NaN or infinite"
            raise DataError(volume.uri, found, "replace them, for instance by 0, and save the image again")


def read_pixels(path: Path) -> Array:
    """Decodes a file: `(y, x)`, `(y, x, 3)`, or a TIFF's own axes; alpha dropped, palette expanded.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return read_tiff(path)
        with Image.open(path) as image:
            return _without_alpha(image)
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        found = f"the image data cannot be decoded ({_first_line(error)})"
        raise DataError(path, found, "the file is probably cut short or damaged; copy it again") from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(path, "this is a folder, not an image", "name a file in it")
    if not path.exists():
        raise DataError(path, "there is no such file", "check the path")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(
            path, f"the format {path.suffix or 'without suffix'} is not read", f"save it as one of {known}"
        )
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except PermissionError as error:
        raise DataError(
            path, "no permission to read it", f"allow it, for instance: chmod u+r {path}"
        ) from error
    if empty:
        raise DataError(path, "the file is empty (0 bytes)", "copy it again from its source")


def _check_size(path: Path, header: TiffHeader) -> None:
    plane = header.shape[:-1] if header.channels_last else header.shape
    height, width = plane[-2:]
    if min(height, width) < _SMALLEST:
        fix = f"give images of at least {_SMALLEST} x {_SMALLEST}"
        raise DataError(path, f"the image has only {height} x {width} pixels", fix)
    if height * width > _MOST_PIXELS:
        fix = "the header is damaged, or the image must be cut into tiles first"
        raise DataError(path, f"the header claims {height} x {width} pixels", fix)


def _pillow_header(path: Path) -> TiffHeader:
    try:
        width, height = _png_size(path) or (0, 0)
        if width * height > _MOST_PIXELS:
            return TiffHeader((height, width), np.dtype(np.uint8), "yx")
        with Image.open(path) as image:
            grey = image.mode in {"1", "L", "LA", "I", "F", "I;16", "I;16B"} or _is_grey_palette(image)
            dtype = np.dtype({"I": np.int32, "F": np.float32}.get(image.mode, np.uint8))
            dtype = np.dtype(np.uint16) if image.mode.startswith("I;16") else dtype
            shape = (image.height, image.width) if grey else (image.height, image.width, 3)
            return TiffHeader(shape, dtype, "yx", channels_last=not grey)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        found = f"this is no readable {path.suffix[1:].upper()} image ({_first_line(error)})"
        raise DataError(path, found, "copy it again, or save it in another format") from error


def _png_size(path: Path) -> tuple[int, int] | None:
    with path.open("rb") as stream:
        head = stream.read(24)
    return struct.unpack(">II", head[16:24]) if head.startswith(b"\x89PNG\r\n") and len(head) == 24 else None


def _is_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    colours = np.array(image.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _without_alpha(image: Image.Image) -> Array:
    if image.mode in {"P", "PA"}:
        return np.asarray(image.convert("L" if _is_grey_palette(image) else "RGB"))
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode in {"L", "RGB", "I", "F"} or image.mode.startswith("I;16"):
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
