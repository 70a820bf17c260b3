"""A folder of 2D images, one a section, as one stack that is decoded section by section."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Axes
from morula.data import raster, tiff
from morula.data.listing import of_kinds, visible, what_else
from morula.data.reading import Header, check_file, check_header

__all__ = ["SUFFIXES", "decode", "header", "part", "section_files"]

SUFFIXES = (*raster.SUFFIXES, *tiff.SUFFIXES)


def section_files(folder: Path) -> list[Path]:
    """The 2D images of a folder in natural order, section 0 first; other files are left out.

    Raises:
        DataError: there is none, or no permission.
    """
    inside = visible(folder)
    files = of_kinds(inside, SUFFIXES)
    if not files:
        found = f"a folder without sections: {what_else(inside)}"
        raise DataError(folder, found, f"put one image a section in it, as {', '.join(SUFFIXES)}")
    return files


def header(folder: Path) -> Header:
    """Size and type of the stack; RGB sections count as grey, and are refused when read if they are not.

    Raises:
        DataError: no section, or one that is unreadable, a stack itself, or unlike the others; it is named.
    """
    files = section_files(folder)
    headers = [_header(path) for path in files]
    for what, values in (
        ("{} pixels", [" x ".join(map(str, each.shape[-2:])) for each in headers]),
        ("pixels of type {}", [str(each.dtype) for each in headers]),
    ):
        ((usual, _),) = Counter(values).most_common(1)
        odd = [(path, value) for path, value in zip(files, values, strict=True) if value != usual]
        if odd:
            path, value = odd[0]
            found = f"{what.format(value)}, but most of the {len(files)} sections have {what.format(usual)}"
            found += f"; {len(odd)} differ" if len(odd) > 1 else ""
            raise DataError(path, found, "save all sections alike, or move what is no section away")
    first = headers[0]
    return Header((len(files), *first.shape[-2:]), first.dtype, Axes("zyx"), voxel=first.voxel)


def decode(folder: Path, *, indices: bool = False) -> Array:
    """All sections `(z, y, x)`.

    Args:
        folder: the folder.
        indices: keep the indices of a coloured palette, as label images have them, instead of its colours.

    Raises:
        DataError: a section is damaged, or its colour channels differ.
    """
    return np.stack([_plane(path, indices=indices) for path in section_files(folder)])


def part(folder: Path, box: tuple[slice, ...]) -> Array:
    """The voxels of a box; only the sections that it touches are decoded.

    Raises:
        DataError: a section is damaged, or its colour channels differ.
    """
    return np.stack([_plane(path)[box[1:]] for path in section_files(folder)[box[0]]])


def _reader(path: Path) -> Any:
    return tiff if path.suffix.lower() in tiff.SUFFIXES else raster


def _header(path: Path) -> Header:
    check_file(path)
    found = _reader(path).header(path)
    check_header(path, found, path.stat().st_size)
    if found.axes.spatial != "yx":
        raise DataError(
            path, f"{found.shape[-3]} sections in one file of a folder of sections", "move it away"
        )
    if len(found.channels) not in (1, 3):
        raise DataError(path, f"{len(found.channels)} channels", "save the sections as grey images")
    return found


def _plane(path: Path, *, indices: bool = False) -> Array:
    plane = _reader(path).decode(path, indices=indices)
    if plane.ndim == 2:
        return plane
    if (plane == plane[:1]).all():
        return plane[0]
    raise DataError(path, "colour channels that differ", "save the sections as grey images")
