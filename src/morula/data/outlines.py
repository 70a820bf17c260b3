"""Exact outlines of objects along pixel edges, traced for all objects at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from morula.core.types import Array

__all__ = ["Polygon", "Ring", "outlines"]

Ring = list[tuple[int, int]]
"""Corners as (x, y) in pixels, the first repeated at the end; pixel (y, x) covers x..x+1 and y..y+1."""

Polygon = list[Ring]
"""An outer ring, then one ring for each hole."""

# The edges of a pixel, clockwise on the screen: top, right, bottom, left; the object lies on the right hand.
_AHEAD = ((0, 1), (1, 0), (0, -1), (-1, 0))
_OUTSIDE = ((-1, 0), (0, 1), (1, 0), (0, -1))
_START = ((0, 0), (0, 1), (1, 1), (1, 0))


def outlines(labels: Array) -> dict[int, list[Polygon]]:
    """Outlines of every object of a label image, by label.

    Pixels that touch at a corner only are not connected, so an object in several pieces gives several
    polygons. The area of the polygons less their holes is exactly the pixel count.

    Args:
        labels: `(y, x)`, 0 = background.

    >>> outlines(np.array([[5, 5]]))
    {5: [[[(0, 0), (2, 0), (2, 1), (0, 1), (0, 0)]]]}
    """
    outer: dict[int, list[Ring]] = {}
    holes: dict[int, list[tuple[tuple[float, float], Ring]]] = {}
    for label, inside, ring in _rings(np.pad(labels, 1)):
        if _area(ring) > 0:
            outer.setdefault(label, []).append(ring)
        else:
            holes.setdefault(label, []).append((inside, ring))
    found: dict[int, list[Polygon]] = {}
    for label in sorted(outer):
        polygons: list[Polygon] = [[ring] for ring in sorted(outer[label], key=_area)]
        for inside, hole in holes.get(label, []):
            next(polygon for polygon in polygons if _holds(polygon[0], inside)).append(hole)
        found[label] = polygons
    return found


def _rings(padded: Array) -> list[tuple[int, tuple[float, float], Ring]]:
    """Every ring with its label and the centre (x, y) of one of the object's pixels along it."""
    pixel, side, follower = _edges(padded)
    width = padded.shape[1]
    rows, columns = np.divmod(pixel, width)
    start = np.array(_START)[side]
    previous = np.empty_like(follower)
    previous[follower] = np.arange(len(follower))
    turns = (side[previous] != side).tolist()
    xs, ys = (columns - 1 + start[:, 1]).tolist(), (rows - 1 + start[:, 0]).tolist()
    centres = np.stack([columns - 0.5, rows - 0.5], axis=1).tolist()
    values, following = padded.ravel()[pixel].tolist(), follower.tolist()
    seen = bytearray(len(following))
    rings: list[tuple[int, tuple[float, float], Ring]] = []
    for first in range(len(following)):
        edge, ring = first, []
        while not seen[edge]:
            seen[edge] = 1
            if turns[edge]:
                ring.append((xs[edge], ys[edge]))
            edge = following[edge]
        if ring:
            rings.append((values[first], tuple(centres[first]), [*ring, ring[0]]))
    return rings


def _edges(padded: Array) -> tuple[Array, Array, Array]:
    """The edges between an object and what is not it: pixel, side, and the index of the edge that follows."""
    flat, width = padded.ravel(), padded.shape[1]
    pixels, sides, keys = [], [], []
    for side in range(4):
        outside, ahead = (_step(offsets[side], width) for offsets in (_OUTSIDE, _AHEAD))
        here = np.flatnonzero(padded)
        here = here[flat[here + outside] != flat[here]]
        label = flat[here]
        right = flat[here + ahead] != label  # turn around this pixel
        straight = flat[here + ahead + outside] != label
        target = np.where(right, here, np.where(straight, here + ahead, here + ahead + outside))
        turn = np.where(right, 1, np.where(straight, 0, 3))
        pixels.append(here)
        sides.append(np.full(len(here), side))
        keys.append(target * 4 + (side + turn) % 4)
    pixel, side = np.concatenate(pixels), np.concatenate(sides)
    order = np.argsort(pixel * 4 + side)
    pixel, side, wanted = pixel[order], side[order], np.concatenate(keys)[order]
    return pixel, side, np.searchsorted(pixel * 4 + side, wanted)


def _step(offset: tuple[int, int], width: int) -> int:
    return offset[0] * width + offset[1]


def _area(ring: Ring) -> float:
    """Positive for an outer ring, negative for a hole."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def _holds(ring: Sequence[tuple[int, int]], point: tuple[float, float]) -> bool:
    """Whether a ring encloses a pixel centre: a ray to the right crosses it an odd number of times."""
    x, y = point
    crossed = sum(x0 > x and min(y0, y1) < y < max(y0, y1) for (x0, y0), (_, y1) in pairwise(ring))
    return crossed % 2 == 1
