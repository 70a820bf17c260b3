"""Pixel sizes and channel names out of OME, ImageJ and plain TIFF metadata."""

from __future__ import annotations

from math import isfinite
from xml.etree.ElementTree import Element

from defusedxml import ElementTree
from tifffile import TiffFile, TiffPage

from morula.core.types import Voxel

__all__ = ["channel_names", "pixel_size"]

NANOMETRES = {
    "pm": 1e-3, "Å": 0.1, "nm": 1.0, "nanometer": 1.0, "µm": 1e3, "μm": 1e3, "um": 1e3, "micron": 1e3,
    "microns": 1e3, "micrometer": 1e3, "\\u00b5m": 1e3, "mm": 1e6, "cm": 1e7, "centimeter": 1e7,
    "inch": 2.54e7, "m": 1e9,
}  # fmt: skip
"""Length units as files write them, in nm; any other ("pixel") leaves the size unknown."""

PRINT_LIMIT = 20_000.0
"""A resolution of more nm a pixel (below 1,270 dpi) is meant for a printer, not a microscope."""

_PRINTED = (NANOMETRES["inch"], NANOMETRES["cm"])  # units in which ImageJ hands on what a TIFF says of print


def pixel_size(tif: TiffFile, page: TiffPage, *, stack: bool) -> Voxel | None:
    """The size of a pixel in nm that the file declares, None where it declares none in a known unit.

    Args:
        tif: the open file.
        page: the page whose resolution tags count.
        stack: whether there is a z axis, so that the section distance is read as well.
    """
    if tif.ome_metadata:
        return _ome(_pixels(tif.ome_metadata), stack)
    if (imagej := tif.imagej_metadata) is not None:
        scale = NANOMETRES.get(str(imagej.get("unit", "")).lower())
        spacing = float(imagej["spacing"]) * scale if scale and stack and "spacing" in imagej else None
        voxel = _voxel(page, scale, spacing)
        return _seen(voxel) if scale in _PRINTED else voxel
    unit = page.tags.valueof("ResolutionUnit", default=1)
    scale = {2: NANOMETRES["inch"], 3: NANOMETRES["cm"]}.get(int(unit))
    return _seen(_voxel(page, scale, _shaped_spacing(tif) if stack else None))


def _seen(voxel: Voxel | None) -> Voxel | None:
    """The size, unless it is that of a print."""
    return voxel if voxel and max(voxel.y, voxel.x) <= PRINT_LIMIT else None


def channel_names(tif: TiffFile, count: int) -> tuple[str, ...]:
    """The names of `count` channels from OME metadata, "channel 1" and so on where there are none."""
    names = [f"channel {number + 1}" for number in range(count)]
    if tif.ome_metadata and (pixels := _pixels(tif.ome_metadata)) is not None:
        found = [channel.get("Name") for channel in pixels.iterfind("{*}Channel")]
        if len(found) == count:
            names = [given or name for given, name in zip(found, names, strict=True)]
    return tuple(names)


def _pixels(ome: str) -> Element | None:
    return ElementTree.fromstring(ome, forbid_dtd=True).find(".//{*}Pixels")


def _ome(pixels: Element | None, stack: bool) -> Voxel | None:
    if pixels is None:
        return None
    z, y, x = (_ome_length(pixels, axis) for axis in "ZYX")
    return Voxel(y=y, x=x, z=z if stack else None) if y and x else None


def _ome_length(pixels: Element, axis: str) -> float | None:
    scale = NANOMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    value = pixels.get(f"PhysicalSize{axis}")
    return _positive(float(value) * scale) if value and scale else None


def _shaped_spacing(tif: TiffFile) -> float | None:
    """Section distance in nm from the description that `morula.data.export` and tifffile write, in um."""
    described = (tif.shaped_metadata or ({},))[0]
    told = described.get("unit") == "um" and "spacing" in described
    return _positive(float(described["spacing"]) * 1e3) if told else None


def _voxel(page: TiffPage, scale: float | None, spacing: float | None) -> Voxel | None:
    x, y = (_per_unit(page, f"{axis}Resolution") for axis in "XY")
    if not (scale and x and y):
        return None
    return Voxel(y=scale / y, x=scale / x, z=_positive(spacing))


def _per_unit(page: TiffPage, tag: str) -> float | None:
    numerator, denominator = page.tags.valueof(tag, default=(0, 1))
    return _positive(numerator / denominator) if denominator else None


def _positive(length: float | None) -> float | None:
    return length if length is not None and isfinite(length) and length > 0 else None
