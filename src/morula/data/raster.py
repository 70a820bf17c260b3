"""PNG, JPEG and BMP: one 2D image a file, read with Pillow (16-bit colour PNG with libpng)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Array, Axes
from morula.data.reading import MAX_PIXELS, Header, reading, tells_labels

__all__ = ["SUFFIXES", "decode", "header"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
RGB = ("red", "green", "blue")

_GREY = {
    "1": "uint8",
    "L": "uint8",
    "LA": "uint8",
    "I;16": "uint16",
    "I;16B": "uint16",
    "I": "int32",
    "F": "f4",
}
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_PNG_COLOURS = {2: 3, 4: 1, 6: 3}
"""PNG colour types that Pillow cuts to 8 bits, and how many of their channels are not alpha."""


def header(path: Path) -> Header:
    """Size, type and channels of an image file; alpha does not count.

    Raises:
        DataError: not an image, a size beyond the pixel limit, or a pixel format that is not supported.
    """
    with _opened(path) as image:
        mode, shape = image.mode, (image.height, image.width)
    if (count := _deep_png(path)) is not None:
        return _of(shape, "uint16", count)
    if mode in _GREY:
        return _of(shape, _GREY[mode], 1)
    if mode in _COLOUR:
        return _of(shape, "uint8", 3)
    raise DataError(path, f"pixel format {mode}", "save it as 8- or 16-bit grey or RGB")


def decode(path: Path, *, indices: bool = False) -> Array:
    """The pixels as `(y, x)` or `(3, y, x)`.

    Args:
        path: the file.
        indices: keep the indices of a coloured palette, as label images have them, instead of its colours.

    Raises:
        DataError: the file is damaged or cut short.
    """
    if (count := _deep_png(path)) is not None:
        return _channels_first(_decode_deep_png(path)[..., :count])
    with _opened(path) as image:
        image.load()
        if image.mode in ("P", "PA"):
            return _palette(image, indices)
        if image.mode in _GREY:
            grey = np.asarray(image)
            return np.array(grey[..., 0] if image.mode == "LA" else grey, dtype=_GREY[image.mode])
        colour = image if image.mode in ("RGB", "RGBA", "RGBX") else image.convert("RGB")
        return _channels_first(np.asarray(colour)[..., :3])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings(), reading(path, "PNG, JPEG or BMP image"):
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
                yield image
    except Image.DecompressionBombError as error:
        fix = f"cut it into tiles of at most {MAX_PIXELS // 2:,} pixels, or save it as TIFF"
        raise DataError(path, f"too many pixels ({error})", fix) from error


def _palette(image: Image.Image, indices: bool) -> Array:
    colours = np.asarray(image.convert("RGBA"))[..., :3]
    if not indices:
        return _channels_first(colours)
    stored = np.asarray(image.getchannel(0))
    used, first = np.unique(stored, return_index=True)
    return np.array(colours[..., 0] if tells_labels(used, colours.reshape(-1, 3)[first]) else stored)


def _deep_png(path: Path) -> int | None:
    """Channels without alpha of a PNG with 16 bits a channel that Pillow would cut to 8, else None."""
    with reading(path, "PNG image"), path.open("rb") as stream:
        start = stream.read(26)
    if not start.startswith(b"\x89PNG\r\n\x1a\n") or len(start) < 26 or start[24] != 16:
        return None
    return _PNG_COLOURS.get(start[25])


def _decode_deep_png(path: Path) -> Array:
    import imagecodecs

    with reading(path, "PNG image"):
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))


def _channels_first(colours: Array) -> Array:
    return (
        np.ascontiguousarray(np.moveaxis(colours, -1, 0)) if colours.shape[-1] > 1 else colours[..., 0].copy()
    )


def _of(shape: tuple[int, int], dtype: str, channels: int) -> Header:
    if channels == 1:
        return Header(shape, np.dtype(dtype), Axes("yx"))
    return Header((3, *shape), np.dtype(dtype), Axes("cyx"), RGB)
