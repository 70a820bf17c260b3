"""TIFF and OME-TIFF: axes, pixel size, and pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from defusedxml import DefusedXmlException, ElementTree

from morula.core.errors import DataError
from morula.core.types import Array, Voxel

__all__ = ["TiffHeader", "read_header", "read_tiff"]

_NM = {
    "nm": 1.0,
    "µm": 1e3,
    "um": 1e3,
    "micron": 1e3,
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
    "pm": 1e-3,
    "å": 0.1,
    "inch": 2.54e7,
}
_BROKEN = (tifffile.TiffFileError, OSError, ValueError, IndexError, KeyError, TypeError, ZeroDivisionError)


@dataclass(frozen=True)
class TiffHeader:
    """What an image file says of itself before its pixels are decoded.

    Attributes:
        shape: of the array that decoding gives, alpha not counted.
        dtype: of the pixels.
        spatial: `yx` or `zyx`.
        channels_last: whether the last axis is red, green, blue.
        has_channel_axis: whether the first axis is a channel axis.
        voxel: size in nm, None where the file does not say.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spatial: str
    channels_last: bool = False
    has_channel_axis: bool = False
    voxel: Voxel | None = None


def read_header(path: Path) -> TiffHeader:
    """Reads what a TIFF says of itself.

    Raises:
        DataError: it is no TIFF, damaged, or has axes that Morula does not read.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            series = _series(path, tiff)
            order, shape = _squeezed(series)
            _check_axes(path, series, order)
            _check_type(path, series.dtype)
            rgb = order.endswith("S")
            kept = (*shape[:-1], 3) if rgb else shape
            spatial = "zyx" if set(order) & {"Z", "Q", "I"} else "yx"
            return TiffHeader(
                kept, np.dtype(series.dtype), spatial, rgb, order.startswith("C"), _voxel(tiff, spatial)
            )
    except DataError:
        raise
    except _BROKEN as error:
        found = f"this is no readable TIFF ({_first_line(error)})"
        raise DataError(
            path, found, "the file is cut short, damaged, or not a TIFF; copy it again"
        ) from error


def read_tiff(path: Path) -> Array:
    """The pixels of the first series, axes of length 1 dropped, alpha dropped.

    Raises:
        DataError: they cannot be decoded.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            series = _series(path, tiff)
            order, shape = _squeezed(series)
            pixels = np.asarray(series.asarray()).reshape(shape)
    except DataError:
        raise
    except (*_BROKEN, RuntimeError) as error:
        found = f"the image data cannot be decoded ({_first_line(error)})"
        raise DataError(path, found, "the file is probably cut short; copy it again") from error
    return pixels[..., :3] if order.endswith("S") else pixels


def _series(path: Path, tiff: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    if not tiff.series:
        raise DataError(path, "the TIFF holds no image", "export it again")
    return tiff.series[0]


def _squeezed(series: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    kept = [
        (axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if size > 1 or axis in "YX"
    ]
    return "".join(axis for axis, _ in kept), tuple(size for _, size in kept)


def _check_axes(path: Path, series: tifffile.TiffPageSeries, order: str) -> None:
    rgb = order.endswith("S") and series.shape[-1] in {3, 4}
    grey_alpha = order.endswith("S") and series.shape[-1] == 2
    known = {"YX", "CYX", "ZYX", "QYX", "IYX", "CZYX"}
    if (order in known) or (rgb and order[:-1] in {"YX", "ZYX", "QYX", "IYX"}):
        return
    found = f"its axes are {series.axes} with sizes {'x'.join(map(str, series.shape))}"
    fix = (
        "save the luminance alone"
        if grey_alpha
        else "save one time point and position per file, axes (C)ZYX or YX"
    )
    raise DataError(path, found, fix)


def _check_type(path: Path, dtype: np.dtype[Any] | None) -> None:
    if dtype is None or dtype.kind not in "buif":
        raise DataError(path, f"the pixel type is {dtype}", "save it as 8-bit, 16-bit or float")


def _voxel(tiff: tifffile.TiffFile, spatial: str) -> Voxel | None:
    found = _ome_size(tiff.ome_metadata) if tiff.is_ome and tiff.ome_metadata else _tag_size(tiff)
    if found is None or "y" not in found or "x" not in found:
        return None
    z = found.get("z") if spatial == "zyx" else None
    return Voxel(y=found["y"], x=found["x"], z=z)


def _ome_size(xml: str) -> dict[str, float] | None:
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, DefusedXmlException):
        return None
    pixels = next(
        (node for node in root.iter() if node.tag.endswith("}Pixels") or node.tag == "Pixels"), None
    )
    if pixels is None:
        return None
    sizes: dict[str, float] = {}
    for axis in "ZYX":
        length = pixels.get(f"PhysicalSize{axis}")
        unit = _NM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower())
        if length and unit and float(length) > 0:
            sizes[axis.lower()] = float(length) * unit
    return sizes


def _tag_size(tiff: tifffile.TiffFile) -> dict[str, float] | None:
    page = tiff.pages.first
    imagej = tiff.imagej_metadata or {}
    unit = _NM.get(_plain(str(imagej.get("unit", ""))))
    if unit is None and not imagej:
        unit = {3: 1e7}.get(int(page.tags["ResolutionUnit"].value)) if "ResolutionUnit" in page.tags else None
    if unit is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None
    sizes = {axis: _edge(page.tags[f"{axis.upper()}Resolution"].value) for axis in "yx"}
    if "spacing" in imagej:
        sizes["z"] = float(imagej["spacing"])
    return {axis: size * unit for axis, size in sizes.items() if size > 0}


def _edge(resolution: tuple[int, int]) -> float:
    pixels, units = resolution
    return units / pixels if pixels else 0.0


def _plain(unit: str) -> str:
    return re.sub(r"\\u00b5", "µ", unit).replace("μ", "µ").lower()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
