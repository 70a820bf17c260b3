"""Stage 3, semantic clustering: from an image and its activation map to a pseudo-mask."""

from __future__ import annotations

import numpy as np
from skimage import measure
from skimage.color import rgb2hed

from morula.core.types import Array
from morula.data.modality import modality, unit_grey

__all__ = ["clean", "flip_to_stain", "fuse", "jet", "kmeans", "nearest", "nuclei_first", "stain"]


def jet(values: Array) -> Array:
    """The JET colour map of 8-bit levels as RGB, `(..., 3)` in [0, 1].

    Piecewise linear: red = 1.5 - |4 v - 3|, green = 1.5 - |4 v - 2|, blue = 1.5 - |4 v - 1|, cut to [0, 1],
    at v = floor(255 values) / 255. OpenCV's table samples the same functions; levels may differ by rounding.

    Args:
        values: any shape, in [0, 1].

    >>> jet(np.array([0.0, 1.0])).tolist()
    [[0.0, 0.0, 0.5], [0.5, 0.0, 0.0]]
    """
    level = np.floor(255.0 * np.clip(values, 0, 1)) / 255.0
    return np.clip(1.5 - np.abs(4.0 * level[..., None] - np.array([3.0, 2.0, 1.0])), 0.0, 1.0)


def fuse(psm: Array, image: Array, beta: float, *, bgr: bool) -> Array:
    """JET(PSM) + beta image, `(y, x, 3)` in units of 255.

    Args:
        psm: `(y, x)` in [0, 1].
        image: `(y, x, 3)` RGB uint8.
        beta: weight of the image.
        bgr: add the map's blue to the image's red as the published code does.
    """
    heat = jet(psm)[..., ::-1] if bgr else jet(psm)
    return 255.0 * heat + beta * image.astype(np.float64)


def stain(image: Array) -> Array:
    """What makes a nucleus stand out: haematoxylin, darkness, or light in fluorescence, `(y, x)` float32.

    Args:
        image: `(y, x, 3)` RGB uint8.
    """
    match modality(image):
        case "H&E" | "IHC":
            return rgb2hed(image)[..., 0].astype(np.float32)
        case "fluorescence":
            return unit_grey(image)
        case _:
            return 1.0 - unit_grey(image)


def flip_to_stain(psm: Array, stained: Array) -> Array:
    """The map, turned over (1 - PSM) where it is high where there is little stain.

    >>> flip_to_stain(np.array([0.0, 0.0, 1.0]), np.array([5.0, 4.0, 1.0])).tolist()
    [1.0, 1.0, 0.0]
    """
    covariance = np.mean((psm - psm.mean()) * (stained - stained.mean()))
    return 1.0 - psm if covariance < 0 else psm


def nuclei_first(assign: Array, fused: Array, stained: Array | None) -> Array:
    """Finds the cluster of the nuclei and gives it number 1, `(y, x)` uint8.

    The published rule is the smallest mean of channel 0 + channel 1: little blue and green in JET is a high
    activation, little red and green in the image is dark. The other rule is the highest mean stain.

    Args:
        assign: `(y, x)` cluster of each pixel, 0..K-1.
        fused: `(y, x, 3)` from `fuse`.
        stained: `(y, x)` from `stain`; None for the published rule.
    """
    merit = -(fused[..., 0] + fused[..., 1]) if stained is None else stained
    found = np.unique(assign)
    nuclei = int(found[np.argmax([merit[assign == number].mean() for number in found])])
    numbers = np.arange(max(2, int(found[-1]) + 1), dtype=np.uint8)
    numbers[nuclei], numbers[1] = 1, nuclei
    return numbers[assign]


def kmeans(
    points: Array, k: int, rng: np.random.Generator, *, attempts: int, iterations: int, eps: float
) -> Array:
    """Centres of Lloyd's K-means, `(k, channels)`: the most compact of several attempts.

    As in OpenCV, an attempt starts from centres drawn uniformly from the box around the points and ends after
    `iterations` updates or when no centre moves by more than `eps`. OpenCV draws from a box that is a little
    larger, and moves a single far point of the largest cluster to each empty one; here that far point becomes
    the centre. Local optima may thus differ, rarely the best of ten.

    Args:
        points: `(n, channels)`.
        k: number of clusters.
        rng: draws the first centres.
        attempts: restarts.
        iterations: most updates in one attempt.
        eps: a length, in units of `points`.
    """
    best, least = points[:k], np.inf
    for _ in range(attempts):
        centres = rng.uniform(points.min(axis=0), points.max(axis=0), (k, points.shape[1]))
        for _ in range(iterations):
            moved = _update(points, centres)
            shift = np.linalg.norm(moved - centres, axis=1).max()
            centres = moved
            if shift <= eps:
                break
        spread = float(_distances(points, centres).min(axis=1).sum())
        if spread < least:
            best, least = centres, spread
    return best


def nearest(points: Array, centres: Array) -> Array:
    """Index of the nearest centre of each point; `(n, channels)`, `(k, channels)` -> `(n,)`."""
    return _distances(points, centres).argmin(axis=1)


def clean(mask: Array, smallest: int, holes: int, *, noop: bool) -> Array:
    """Drops small objects and fills small holes (edges in common connect).

    Args:
        mask: `(y, x)` bool.
        smallest: objects with fewer pixels go.
        holes: holes with fewer pixels are filled.
        noop: take all of the mask for one object, as the published code does by passing integers.
    """
    if noop:
        kept = mask if np.count_nonzero(mask) >= smallest else np.zeros_like(mask)
    else:
        kept = _without_small(mask, smallest)
    return ~_without_small(~kept, holes)


def _without_small(mask: Array, smallest: int) -> Array:
    labels: Array = np.asarray(measure.label(mask, connectivity=1))
    large = np.bincount(labels.ravel()) >= smallest
    large[0] = False
    return large[labels]


def _update(points: Array, centres: Array) -> Array:
    distances = _distances(points, centres)
    owner = distances.argmin(axis=1)
    counts = np.bincount(owner, minlength=len(centres))
    sums = [np.bincount(owner, channel, len(centres)) for channel in points.T]
    moved = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    for empty in np.flatnonzero(counts == 0):
        theirs = np.flatnonzero(owner == counts.argmax())
        far = theirs[distances[theirs, counts.argmax()].argmax()]
        moved[empty], owner[far] = points[far], empty
        counts = np.bincount(owner, minlength=len(centres))
    return moved


def _distances(points: Array, centres: Array) -> Array:
    return np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
