"""Aperio ImageScope XML: outlines of regions, as MoNuSeg publishes its nuclei."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from skimage.draw import polygon

from morula.core.errors import DataError
from morula.core.types import Array
from morula.data.reading import check_file, reading

__all__ = ["read_aperio"]


def read_aperio(path: str | PathLike[str], shape: tuple[int, int]) -> Array:
    """Fills the outlines of an Aperio XML file; where two overlap, the first in the file wins.

    Args:
        path: the XML file; `Vertex` has `X` (column) and `Y` (row) in pixels of the full image.
        shape: height and width of the image; outlines are clipped to it.

    Returns:
        `(y, x)` int32, 0 = background, regions 1..N in file order without gaps.

    Raises:
        DataError: not XML, XML with entities or a DTD (an attack), or vertices without finite coordinates.
    """
    path = Path(path)
    check_file(path, "Aperio XML")
    labels = np.zeros(shape, np.int32)
    count = 0
    for region in _root(path).iter("Region"):
        vertices = _vertices(path, region)
        if not len(vertices):
            continue
        rows, columns = polygon(vertices[:, 1], vertices[:, 0], shape)
        free = labels[rows, columns] == 0
        if free.any():
            count += 1
            labels[rows[free], columns[free]] = count
    return labels


def _root(path: Path) -> Element:
    try:
        with path.open("rb") as stream, reading(path, "Aperio XML file"):
            return ElementTree.fromstring(stream.read(), forbid_dtd=True)
    except DataError as error:
        if isinstance(error.__cause__, DefusedXmlException):
            found = "XML with a DTD or entities, which can attack the program that reads it"
            raise DataError(path, found, "export the annotations again from ImageScope") from error
        raise


def _vertices(path: Path, region: Element) -> Array:
    """Corners `(n, 2)` as x, y."""
    try:
        corners = [(float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iter("Vertex")]
    except (KeyError, ValueError) as error:
        raise _bad_vertex(path, region) from error
    vertices = np.array(corners, np.float64).reshape(-1, 2)
    if not np.isfinite(vertices).all():
        raise _bad_vertex(path, region)
    return vertices


def _bad_vertex(path: Path, region: Element) -> DataError:
    found = f"region {region.get('Id', '?')} has a vertex without numbers for X and Y"
    return DataError(path, found, "export the annotations again from ImageScope")
