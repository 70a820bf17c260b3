"""Arrays and charts as data URIs, so that the page needs no second file."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from morula.core.types import Array
from morula.report.draw import resize

__all__ = ["picture_uri", "svg_uri"]

_PALETTE = 256


def picture_uri(rgb: Array, long_side: int) -> tuple[str, int, int]:
    """The picture as a data URI with its width and height, at most `long_side` pixels long.

    Maps of a few flat colours become PNG (exact and small); everything else JPEG with full colour resolution,
    because contours are one or two pixels wide.
    """
    longest = max(rgb.shape[:2])
    flat = all(len(np.unique(_packed(part))) <= _PALETTE for part in (rgb[::9, ::9], rgb))  # cheap look first
    if longest > long_side:
        rgb = _thin(rgb, long_side) if flat else resize(rgb, long_side / longest)
    height, width = rgb.shape[:2]
    image, stream = Image.fromarray(np.ascontiguousarray(rgb)), BytesIO()
    if flat:
        image.quantize(_PALETTE, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return _uri("image/png", stream.getvalue()), width, height
    image.save(stream, "JPEG", quality=86, subsampling=0)
    return _uri("image/jpeg", stream.getvalue()), width, height


def svg_uri(svg: str) -> str:
    """An SVG drawing as a data URI."""
    return _uri("image/svg+xml", svg.encode())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def _packed(rgb: Array) -> Array:
    wide = rgb.astype(np.uint32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _thin(rgb: Array, long_side: int) -> Array:
    """Nearest pixels only: a label map has no colours in between."""
    scale = long_side / max(rgb.shape[:2])
    rows, columns = (
        np.minimum((np.arange(max(1, round(side * scale))) + 0.5) / scale, side - 1).astype(int)
        for side in rgb.shape[:2]
    )
    return rgb[np.ix_(rows, columns)]
