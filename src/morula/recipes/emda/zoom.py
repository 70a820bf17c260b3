"""The target's pixel size where nobody knows it: at the right one, a segmenter finds objects like its own.

Texture alone can be fooled by an instrument that blurs. A segmenter trained at the common pixel size answers
only to mitochondria of about the size it knows; so a part of the target is predicted at many zooms, and the
composite criterion, which compares sizes and asks whether masks follow the image, says which is right.
No label of the target takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array
from morula.metrics import composite, edge_contrast, look, normalised_entropy, predictability, shapes
from morula.recipes.emda.domains import Domain, resample

__all__ = ["ZoomSearch", "search_zoom"]

_COARSE = 2.0 ** (np.arange(-4, 5) / 2.5)  # times the first guess: a third to three times
_FINE = 2.0 ** (np.array([-1, 1]) / 5)  # times the best of these
_SECTIONS = 6  # neighbours, so that objects can be followed
_WIDTH = 700  # pixels; what is looked at of larger sections


@dataclass(frozen=True)
class ZoomSearch:
    """What was found.

    Attributes:
        zoom: common pixels per stored pixel of the first target volume.
        scores: zoom -> score of the composite criterion, 0 at best.
    """

    zoom: float
    scores: dict[float, float]


def search_zoom(
    predict: Callable[[Array], Array], target: Sequence[Array], source: Domain, guesses: Sequence[float]
) -> ZoomSearch:
    """Tries zooms of the largest volume around a guess, and takes that of the best score.

    Args:
        predict: foreground probability `(z, y, x)` of sections at the common pixel size.
        target: volumes as stored, `(z, y, x)` uint8.
        source: labels at the common pixel size.
        guesses: common pixels per stored pixel of each volume; their proportions are kept.

    Raises:
        DataError: the sections are too small to be shrunk as the search needs.
    """
    volume, guess = max(zip(target, guesses, strict=True), key=lambda pair: pair[0].size)
    relative = guess / guesses[0]
    part = volume[tuple(map(_middle, volume.shape, (_SECTIONS, _WIDTH, _WIDTH)))]
    prior = shapes(source.masks, pixel_area=1.0)
    scores: dict[float, float] = {}

    def score(zoom: float) -> None:
        try:
            sections = resample(part, zoom * relative)
        except DataError:
            return
        maps = predict(sections)
        seen, masks = look([sections]), [maps >= 0.5]
        evidence = {
            "predictability": predictability(masks, seen),
            "edges": edge_contrast(masks, seen, area=prior.area),
            "entropy": normalised_entropy(maps),
        }
        scores[zoom] = composite(shapes(masks, pixel_area=1.0), prior, evidence).score

    for factor in _COARSE.tolist():
        score(guesses[0] * factor)
    if not scores:
        found = f"sections of {part.shape[1]} x {part.shape[2]} pixels are too small to find their scale"
        raise DataError("--voxel-size", found, "give it in nm")
    best = max(scores, key=lambda zoom: scores[zoom])
    for factor in _FINE.tolist():
        score(best * factor)
    return ZoomSearch(max(scores, key=lambda zoom: scores[zoom]), scores)


def _middle(length: int, wanted: int) -> slice:
    start = max(0, (length - wanted) // 2)
    return slice(start, start + wanted)
