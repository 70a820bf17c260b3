"""From the network's maps to objects."""

from __future__ import annotations

from morula.core.types import Array, Segmentation
from morula.post import filled
from morula.tasks.cells.decode import Cut, classes_of, enlarged, object_scores, objects_in, to_shape
from morula.tasks.cells.front import Prepared
from morula.tasks.cells.pseudo import Pseudo

__all__ = ["CUT", "found_objects", "scored_objects"]

CUT = Cut(smoothing=0.12, valley=0.06, rounding=0.0)
"""How maps become objects."""


def scored_objects(foreground: Array, distance: Array, diameter: float) -> Pseudo:
    """Objects of the network's maps by seeded watershed, with a confidence each.

    Args:
        foreground: `(y, x)` probability.
        distance: `(y, x)` centre distance.
        diameter: of the median object in the maps, in pixels.
    """
    labels = objects_in(filled(foreground > 0.5), distance, diameter, CUT)
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
    return Segmentation(labels, scores, classes_of(image, labels, prepared.modality, prepared.white), maps)
