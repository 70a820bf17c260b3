"""Aperio ImageScope XML: one polygon per object, as MoNuSeg is annotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from defusedxml import DefusedXmlException, ElementTree
from skimage.draw import polygon

from morula.core.errors import DataError
from morula.core.types import Array

__all__ = ["read_aperio"]


def read_aperio(path: Path, shape: tuple[int, ...]) -> Array:
    """Fills the polygons of `Annotations/Annotation/Regions/Region/Vertices/Vertex[@X, @Y]`.

    Where polygons overlap the first wins, as in the official MoNuSeg script. Regions with fewer than three
    vertices are passed over.

    Args:
        path: the XML file.
        shape: of the image, `(y, x)`.

    Returns:
        `(y, x)` int32, numbered in the order of the regions.

    Raises:
        DataError: it is not XML, tries to expand entities, or has a vertex without numbers.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except DefusedXmlException as error:
        raise DataError(
            path, "the XML defines entities, which may be an attack", "export it again"
        ) from error
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise DataError(path, f"this is not valid XML ({error})", "export the annotations again") from error
    labels = np.zeros(shape, dtype=np.int32)
    number = 0
    for region in root.iter("Region"):
        corners = [_corner(path, vertex.attrib) for vertex in region.iter("Vertex")]
        if len(corners) < 3:
            continue
        rows, columns = polygon([y for y, _ in corners], [x for _, x in corners], shape)
        free = labels[rows, columns] == 0
        if free.any():
            number += 1
            labels[rows[free], columns[free]] = number
    return labels


def _corner(path: Path, attributes: dict[str, str]) -> tuple[float, float]:
    try:
        return float(attributes["Y"]), float(attributes["X"])
    except (KeyError, ValueError) as error:
        raise DataError(path, f"a vertex has no numbers X and Y: {attributes}", "export it again") from error
