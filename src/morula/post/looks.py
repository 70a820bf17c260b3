"""What several looks at one image found becomes one set of objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from morula.core.types import Array
from morula.post.paste import places
from morula.post.untyped import ndi, spatial

__all__ = ["merge_looks"]


class _Pixels(NamedTuple):
    """The pixels of a mask: a window of the image, and which of it."""

    top: int
    left: int
    inside: Array


def merge_looks(
    boxes: Array, masks: Array, scores: Array, looks: Array, count: int, *, overlap: float = 0.5
) -> tuple[Array, Array, Array]:
    """Objects found in several looks at one image, each object once.

    From the most certain on, an object takes from every other look the one whose mask overlaps its own most,
    if the intersection over union is `overlap` or more. Box and mask are the means of theirs; the score is
    the sum over the looks divided by their number, so that what one look alone found is worth little. The
    order of the looks does not matter. Boxes without area are left out.

    Args:
        boxes: `(n, 4)` x0, y0, x1, y1 in pixels.
        masks: `(n, m, m)` probabilities over the area of the box.
        scores: `(n,)`.
        looks: which look found it `(n,)`.
        count: number of looks.
        overlap: of the masks of one object.

    Returns:
        Boxes `(k, 4)`, masks `(k, m, m)` and scores `(k,)`, best first.

    Source: Solovyev et al., "Weighted boxes fusion", arXiv 1910.13302, with masks, and with plain means.
    """
    solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, masks, scores, looks = (each[solid] for each in (boxes, masks, scores, looks))
    if not len(boxes):
        return boxes, masks, scores
    corners = boxes.astype(np.float64)
    centres, sizes = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    tree, pixels = spatial.cKDTree(centres), dict[int, _Pixels]()
    free = np.ones(len(boxes), dtype=bool)
    merged: list[tuple[Array, Array, float]] = []
    for seed in np.argsort(-scores, kind="stable").tolist():
        if not free[seed]:
            continue
        near = np.array(tree.query_ball_point(centres[seed], np.hypot(*sizes[seed]) / 2), dtype=np.intp)
        near = near[free[near] & (looks[near] != looks[seed])]
        members = [seed, *_alike(seed, near.tolist(), boxes, masks, looks, pixels, overlap)]
        free[members] = False
        box = corners[members].mean(axis=0)
        mask = np.mean([_in_frame(masks[each], corners[each], box) for each in members], axis=0)
        merged.append((box, mask, float(scores[members].sum()) / count))
    merged.sort(key=lambda each: -each[2])
    found = (np.array([each[place] for each in merged]) for place in range(3))
    return next(found).astype(boxes.dtype), next(found).astype(masks.dtype), next(found).astype(scores.dtype)


def _alike(
    seed: int,
    near: list[int],
    boxes: Array,
    masks: Array,
    looks: Array,
    pixels: dict[int, _Pixels],
    overlap: float,
) -> list[int]:
    """Of each look the object that is most like the seed, if it is enough so."""

    def drawn(number: int) -> _Pixels:
        if number not in pixels:
            pixels[number] = _pixels(boxes[number], masks[number])
        return pixels[number]

    best: dict[int, tuple[float, int]] = {}
    for number in near:
        shared = _overlap(drawn(seed), drawn(number))
        look = int(looks[number])
        if shared >= overlap and shared > best.get(look, (0.0, 0))[0]:
            best[look] = shared, number
    return [number for _, number in best.values()]


def _pixels(box: Array, mask: Array) -> _Pixels:
    x0, y0, x1, y1 = (float(edge) for edge in box)
    top, left = int(np.floor(y0)), int(np.floor(x0))
    y = places(top, int(np.ceil(y1)) - top, y0, y1, len(mask))
    x = places(left, int(np.ceil(x1)) - left, x0, x1, len(mask))
    return _Pixels(top, left, _sampled(mask, y, x) > 0.5)


def _overlap(one: _Pixels, other: _Pixels) -> float:
    """Intersection over union."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(each.top + each.inside.shape[0] for each in (one, other))
    right = min(each.left + each.inside.shape[1] for each in (one, other))
    if bottom <= top or right <= left:
        return 0.0
    parts = [
        each.inside[top - each.top : bottom - each.top, left - each.left : right - each.left]
        for each in (one, other)
    ]
    shared = int(np.count_nonzero(parts[0] & parts[1]))
    return shared / max(1, int(one.inside.sum()) + int(other.inside.sum()) - shared)


def _in_frame(mask: Array, box: Array, frame: Array) -> Array:
    """A mask of one box over the area of another, 0 where it has none."""
    cells, step = len(mask), (frame[2:] - frame[:2]) / len(mask)
    x, y = ((frame[:2] + step * (np.arange(cells)[:, None] + 0.5) - box[:2]) / (box[2:] - box[:2])).T
    within = ((y >= 0) & (y <= 1))[:, None] & ((x >= 0) & (x <= 1))
    return np.where(within, _sampled(mask, y * cells - 0.5, x * cells - 0.5), 0.0)


def _sampled(mask: Array, y: Array, x: Array) -> Array:
    grid = np.meshgrid(y, x, indexing="ij")
    return ndi.map_coordinates(mask.astype(np.float32), grid, order=1, mode="nearest")
