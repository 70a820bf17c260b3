"""Star-convex outlines without training: blobs as seeds, the best closed contour around each, then the best.

A density map goes in (objects bright); candidates come out with what tells an object from clutter: how
strong and how complete its edge is, how round it is, how large it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from morula.core.types import Array
from morula.post.untyped import draw, ndi

__all__ = ["WEAK", "Candidates", "blob_seeds", "candidates", "choose", "closed_contours"]

_RAYS = 32
_STEPS = 24
_REACH = (0.35, 1.9)  # radii searched, in units of the seed's radius
_AT_ONCE = 8192  # seeds, each of which takes some 20 kB while its contour is sought
_BEND = 2  # how many radius steps neighbouring rays may differ
WEAK = 0.3  # the quantile of edge strength along a contour that says how complete the edge is


@dataclass(frozen=True)
class Candidates:
    """Outlines that may be objects, one row each.

    Attributes:
        boxes: where each mask lies, slices over y and x.
        masks: the filled outline within its box.
        area: in pixels.
        roundness: 4 pi area / perimeter^2, 1 for a disc.
        convexity: area over that of the convex hull.
        edge: mean and weak-quantile of the outward fall of the density per pixel, averaged.
    """

    boxes: Sequence[tuple[slice, slice]]
    masks: Sequence[Array]
    area: Array
    roundness: Array
    convexity: Array
    edge: Array

    @staticmethod
    def join(parts: Sequence[Candidates]) -> Candidates:
        """All candidates of all parts."""
        return Candidates(
            [box for part in parts for box in part.boxes],
            [mask for part in parts for mask in part.masks],
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("area", "roundness", "convexity", "edge")
            ),
        )

    def where(self, keep: Array) -> Candidates:
        """The candidates for which `keep` `(n,)` is true."""
        rows: list[int] = np.flatnonzero(keep).tolist()
        return Candidates(
            [self.boxes[row] for row in rows],
            [self.masks[row] for row in rows],
            self.area[keep],
            self.roundness[keep],
            self.convexity[keep],
            self.edge[keep],
        )

    def mean_of(self, image: Array) -> Array:
        """Mean of `image` `(y, x)` inside each outline."""
        pairs = zip(self.boxes, self.masks, strict=True)
        return np.array([image[box][mask].mean() if mask.any() else 0.0 for box, mask in pairs])


def blob_seeds(density: Array, radii: Sequence[float], *, weakest: float = 0.03) -> Array:
    """Maxima of the scale-normalised Laplacian of Gaussian, per scale.

    Args:
        density: `(y, x)`, objects bright.
        radii: of the blobs looked for, in pixels.
        weakest: smallest response.

    Returns:
        `(n, 3)`: y, x, radius.
    """
    found: list[Array] = []
    for radius in radii:
        sigma = radius / 1.6
        response: Array = -ndi.gaussian_laplace(density, sigma) * sigma**2
        peak: Array = ndi.maximum_filter(response, size=max(3, int(radius * 0.6)) | 1) == response
        y, x = np.nonzero(peak & (response > weakest))
        found.append(np.stack([y, x, np.full(len(y), radius)], axis=1))
    return np.concatenate(found).astype(np.float64)


def closed_contours(density: Array, seeds: Array, *, smoothing: float = 1.3) -> tuple[Array, Array]:
    """The closed contour of the steepest outward fall around each seed, by dynamic programming over rays.

    Args:
        density: `(y, x)`, objects bright.
        seeds: `(n, 3)`: y, x, radius.
        smoothing: of the gradient, in pixels.

    Returns:
        `(n, rays)` radii in pixels and the fall of the density per pixel there.
    """
    slope = (
        ndi.gaussian_filter(density, smoothing, order=(1, 0)),
        ndi.gaussian_filter(density, smoothing, order=(0, 1)),
    )
    parts = [_best_of(slope, part) for part in np.array_split(seeds, len(seeds) // _AT_ONCE + 1)]
    return np.concatenate([radii for radii, _ in parts]), np.concatenate([fall for _, fall in parts])


def candidates(
    density: Array, radii: Sequence[float], *, smoothing: float = 1.3, smallest: float = 20.0
) -> Candidates:
    """Outlines around every blob of every size.

    Args:
        density: `(y, x)`, objects bright, about 1 from background to object.
        radii: of the blobs looked for, in pixels.
        smoothing: of the gradient, in pixels.
        smallest: area in pixels below which an outline is dropped.
    """
    seeds = blob_seeds(density, radii)
    radius, fall = closed_contours(density, seeds, smoothing=smoothing)
    angle = np.arange(_RAYS) * 2 * np.pi / _RAYS
    y, x = radius * np.sin(angle), radius * np.cos(angle)
    area = 0.5 * np.sum(radius * np.roll(radius, -1, axis=1), axis=1) * np.sin(2 * np.pi / _RAYS)
    around = np.hypot(y - np.roll(y, -1, axis=1), x - np.roll(x, -1, axis=1)).sum(axis=1)
    edge = 0.5 * fall.mean(axis=1) + 0.5 * np.quantile(fall, WEAK, axis=1)
    keep = np.flatnonzero((edge > 0.01) & (area > smallest))
    y, x = seeds[keep, 0, None] + y[keep], seeds[keep, 1, None] + x[keep]
    filled = [_fill(ys, xs, density.shape) for ys, xs in zip(y, x, strict=True)]
    roundness = np.clip(4 * np.pi * area[keep] / np.maximum(around[keep], 1e-6) ** 2, 0, 1)
    return Candidates(
        [box for box, _ in filled],
        [mask for _, mask in filled],
        area[keep],
        roundness,
        np.ones(len(keep)),
        edge[keep],
    )


def choose(
    found: Candidates, scores: Array, shape: tuple[int, int], *, least: float, overlap: float = 0.3
) -> tuple[Array, Array]:
    """Paints candidates from the best score down, leaving out what lies on one already painted.

    Args:
        found: the candidates.
        scores: `(n,)`.
        shape: of the image.
        least: smallest score.
        overlap: largest part of a candidate that may be covered already.

    Returns:
        `(y, x)` int32 labels 1..N, and the indices of the N chosen candidates.
    """
    labels = np.zeros(shape, dtype=np.int32)
    chosen: list[int] = []
    ranking: list[int] = np.argsort(-scores, kind="stable").tolist()
    for index in ranking:
        if scores[index] < least:
            break
        view: Array = labels[found.boxes[index]]
        mask = found.masks[index]
        free: Array = mask & (view == 0)
        if free.sum() < max(1.0, (1 - overlap) * mask.sum()):
            continue
        chosen.append(index)
        view[free] = len(chosen)
    return labels, np.array(chosen, dtype=np.intp)


def _best_of(slope: tuple[Array, Array], seeds: Array) -> tuple[Array, Array]:
    """The contours of some seeds."""
    radii = seeds[:, 2, None] * np.linspace(*_REACH, _STEPS)
    fall = _outward_fall(slope, seeds, radii)
    total: Array = fall[:, 0]
    back: list[Array] = []
    for turn in range(1, 2 * _RAYS + 1):  # twice around, so that the middle turn closes
        padded = np.pad(total, ((0, 0), (_BEND, _BEND)), constant_values=-np.inf)
        options = np.stack([padded[:, k : k + _STEPS] for k in range(2 * _BEND + 1)], axis=-1)
        best = options.argmax(axis=-1)
        back.append(np.clip(best + np.arange(_STEPS) - _BEND, 0, _STEPS - 1))
        total = options.max(axis=-1) + fall[:, turn % _RAYS]
    at = total.argmax(axis=1)
    path = np.zeros((len(seeds), _RAYS), dtype=np.intp)
    for turn in range(2 * _RAYS, 0, -1):
        at = np.take_along_axis(back[turn - 1], at[:, None], axis=1)[:, 0]
        if _RAYS // 2 <= turn - 1 < _RAYS // 2 + _RAYS:
            path[:, (turn - 1) % _RAYS] = at
    return (
        np.take_along_axis(radii, path, axis=1),
        np.take_along_axis(fall, path[..., None], axis=2)[..., 0],
    )


def _outward_fall(slope: tuple[Array, Array], seeds: Array, radii: Array) -> Array:
    """How fast the density falls outwards at every ray and radius, `(n, rays, steps)`; rays that leave the
    image continue with one and a half times the ray's mean fall, so that cut objects are not preferred."""
    angle = np.arange(_RAYS) * 2 * np.pi / _RAYS
    sine, cosine = np.sin(angle)[None, :, None], np.cos(angle)[None, :, None]
    y = seeds[:, 0, None, None] + radii[:, None] * sine
    x = seeds[:, 1, None, None] + radii[:, None] * cosine
    places = np.stack([y.ravel(), x.ravel()])
    sides: list[Array] = [ndi.map_coordinates(each, places, order=1, mode="nearest") for each in slope]
    down, right = sides
    fall = -(down.reshape(y.shape) * sine + right.reshape(y.shape) * cosine)
    inside = (y >= 0) & (x >= 0) & (y <= slope[0].shape[0] - 1) & (x <= slope[0].shape[1] - 1)
    count = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    usual = (np.clip(fall, 0, None) * inside).sum(axis=(1, 2), keepdims=True) / count
    return np.where(inside, fall, 1.5 * usual)


def _fill(y: Array, x: Array, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Array]:
    top, left = max(int(y.min()), 0), max(int(x.min()), 0)
    bottom = max(min(int(y.max()) + 2, shape[0]), top + 1)
    right = max(min(int(x.max()) + 2, shape[1]), left + 1)
    mask = np.zeros((bottom - top, right - left), dtype=np.bool_)
    mask[draw.polygon(y - top, x - left, mask.shape)] = True
    return (slice(top, bottom), slice(left, right)), mask
