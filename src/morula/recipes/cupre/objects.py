"""From the network's maps to objects."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array, Segmentation
from morula.post import split
from morula.tasks.cells.decode import classes_of, enlarged, object_scores, to_shape
from morula.tasks.cells.front import Prepared
from morula.tasks.cells.pseudo import Pseudo

__all__ = ["found_objects", "scored_objects"]

_SMALLEST = 0.15  # of the area of the median object
_SMOOTHING = 0.12  # of its diameter
_VALLEY = 0.06  # of the centre distance, between two objects


def scored_objects(foreground: Array, distance: Array, diameter: float) -> Pseudo:
    """Objects of the network's maps by seeded watershed, with a confidence each.

    Args:
        foreground: `(y, x)` probability.
        distance: `(y, x)` centre distance.
        diameter: of the median object in the maps, in pixels.
    """
    labels = split(
        foreground, distance, threshold=0.5, smoothing=_SMOOTHING * diameter, depth=_VALLEY,
        smallest=_SMALLEST * np.pi * diameter**2 / 4,
    )  # fmt: skip
    return Pseudo(labels, object_scores(labels, foreground, distance))


def found_objects(
    prepared: Prepared, foreground: Array, distance: Array, diameter: float, image: Array
) -> Segmentation:
    """Objects at the image's own scale, with scores and classes.

    Args:
        prepared: the image at the common scale.
        foreground: `(y, x)` probability at that scale.
        distance: `(y, x)` centre distance at that scale.
        diameter: of the median object at that scale, in pixels.
        image: `(y, x, c)` as it came.
    """
    found = scored_objects(foreground, distance, diameter)
    labels, scores = enlarged(found, prepared.shape)
    maps = {
        "foreground": to_shape(foreground, prepared.shape),
        "centre distance": to_shape(distance, prepared.shape),
    }
    return Segmentation(labels, scores, classes_of(image, labels, prepared.modality), maps)
