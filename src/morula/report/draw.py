"""Pictures of arrays: display stretch, contours, float maps, label maps. Pure functions, nothing global."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image
from skimage.morphology import dilation
from skimage.segmentation import expand_labels, find_boundaries

from morula.core.types import Array

__all__ = ["LONG_SIDE", "class_colours", "colourise", "label_colours", "overlay", "resize", "to_rgb8"]

LONG_SIDE = 1200
"""Longest side of a picture on the page, in pixels."""

_Colour = tuple[int, int, int]
_SINGLE: _Colour = (255, 214, 10)
_POSITIVE: _Colour = (255, 112, 31)
_NEGATIVE: _Colour = (46, 168, 255)
# Bright relatives of the Okabe-Ito colours: told apart with any colour vision, bright enough for dark images.
_CLASSES: tuple[_Colour, ...] = (
    _POSITIVE,
    _NEGATIVE,
    (255, 221, 51),
    (0, 214, 160),
    (255, 128, 196),
    (245, 245, 245),
    (170, 130, 255),
)
_CASING = np.array((16, 20, 24), np.float32)
_CHANNELS = np.array(  # additive, sums of pairs stay tellable: magenta, green, blue, yellow, cyan, white
    [(1.0, 0.2, 0.9), (0.1, 0.9, 0.2), (0.2, 0.4, 1.0), (1.0, 0.8, 0.1), (0.1, 0.9, 0.9), (0.7, 0.7, 0.7)],
    np.float32,
)
_CLUSTERS: tuple[_Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (200, 200, 200),
)
_NOTHING: _Colour = (24, 28, 32)


def to_rgb8(image_yxc: Array) -> Array:
    """An image as the eye wants it: `(y, x, 3)` uint8.

    RGB uint8 stays as it is. Grey, 16-bit and float images are stretched between their 0.3 and 99.7
    percentiles. Two channels, or more than three, become an additive mix, each stretched by itself.

    Args:
        image_yxc: `(y, x)` or `(y, x, c)`, any real dtype; values that are not finite count as the darkest.

    Raises:
        ValueError: not a 2D image, or an empty one.

    >>> to_rgb8(np.array([[0, 65535]], np.uint16)).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    if image_yxc.ndim == 2:
        image_yxc = image_yxc[..., None]
    if image_yxc.ndim != 3 or 0 in image_yxc.shape:
        raise ValueError(f"an image is (y, x) or (y, x, c) and not empty, not {image_yxc.shape}")
    channels = image_yxc.shape[2]
    if channels == 3:
        rgb = image_yxc if image_yxc.dtype == np.uint8 else _bytes(_stretch(image_yxc))
        return np.ascontiguousarray(rgb)
    if channels == 1:
        return np.repeat(_bytes(_stretch(image_yxc)), 3, axis=2)
    layers = np.stack([_stretch(image_yxc[..., c]) for c in range(channels)], axis=-1)
    return _bytes(layers @ _CHANNELS[np.arange(channels) % len(_CHANNELS)])


def class_colours(names: Sequence[str]) -> dict[str, _Colour]:
    """The contour colour of each class; positive is orange and negative is blue wherever they stand.

    >>> class_colours(["negative", "positive"])["positive"]
    (255, 112, 31)
    """
    if len(names) == 1:
        return {names[0]: _SINGLE}
    fixed = {name: _POSITIVE for name in names if name.lower() in {"positive", "pos", "+"}}
    fixed |= {name: _NEGATIVE for name in names if name.lower() in {"negative", "neg", "-"}}
    free = [colour for colour in _CLASSES if colour not in fixed.values()]
    others = [name for name in dict.fromkeys(names) if name not in fixed]
    return fixed | {name: free[i % len(free)] for i, name in enumerate(others)}


def overlay(
    rgb: Array,
    labels: Array,
    classes: Sequence[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    long_side: int = LONG_SIDE,
) -> Array:
    """The image with a thin contour around each object, dark-cased so that it reads on light and dark.

    Small images are enlarged by a whole factor and large ones reduced *before* the contours are drawn, so
    that lines stay thin and complete.

    Args:
        rgb: `(y, x, 3)` uint8.
        labels: `(y, x)` integers, 0 = background.
        classes: class of object i at `i - 1`, as in `Segmentation.classes`; None draws all alike.
        class_names: every class of the run, so that colours agree between images; those in `classes`, in
            alphabetical order, by default.
        long_side: target for the longer side, in pixels.

    Raises:
        ValueError: shapes differ, or a label has no class.
    """
    if rgb.shape != (*labels.shape, 3) or rgb.dtype != np.uint8:
        raise ValueError(f"rgb {rgb.shape} {rgb.dtype} does not fit labels {labels.shape}")
    colours = _object_colours(int(labels.max(initial=0)), classes, class_names)
    picture, labels = _fit(rgb, long_side), _fit_labels(labels, long_side)
    half = _half_width(labels)
    core = labels
    for _ in range(half):
        core = np.where(find_boundaries(core, mode="inner"), 0, core)
    # Half of the line inside and, where the neighbour is background, half outside: touching objects, each
    # with its own half, get a line as wide as free ones.
    owner = np.where(labels > 0, np.where(core == 0, labels, 0), expand_labels(labels, half))
    line = owner > 0
    casing = dilation(line, np.ones((3, 3), bool)) & ~line
    out = picture.astype(np.float32)
    out[casing] = 0.45 * out[casing] + 0.55 * _CASING
    out[line] = colours[owner[line]]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def colourise(
    values: Array, colours: str = "viridis", *, low: float | None = None, high: float | None = None
) -> Array:
    """A float map in false colour, `(y, x, 3)` uint8; values that are not finite are grey.

    Args:
        values: `(y, x)` numbers.
        colours: a perceptually uniform matplotlib map, `viridis` or `inferno`.
        low: value of the darkest colour; the smallest value by default.
        high: value of the brightest colour; the largest value by default.

    Raises:
        ValueError: not a 2D map.
    """
    if values.ndim != 2:
        raise ValueError(f"a map is (y, x), not {values.shape}")
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    low = float(numbers[finite].min(initial=np.inf)) if low is None else low
    high = float(numbers[finite].max(initial=-np.inf)) if high is None else high
    scaled = (np.where(finite, numbers, low) - low) / (high - low) if high > low else np.zeros(values.shape)
    rgb = matplotlib.colormaps[colours](np.clip(scaled, 0, 1), bytes=True)[..., :3]
    return np.where(finite[..., None], rgb, np.uint8(128)).astype(np.uint8)


def label_colours(labels: Array) -> Array:
    """A label or cluster map with a colour for each id and 0 near black, `(y, x, 3)` uint8.

    Up to eight ids get the Okabe-Ito colours; more get hues a golden angle apart at three brightnesses, so
    that neighbours differ. An id has the same colour in every picture of the same kind.

    Raises:
        ValueError: not 2D, not integers, or negative.
    """
    if labels.ndim != 2 or not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool):
        raise ValueError(f"a label map is (y, x) integers, not {labels.shape} {labels.dtype}")
    if labels.min(initial=0) < 0:
        raise ValueError("labels must not be negative")
    ids, inverse = np.unique(labels, return_inverse=True)
    few = int(labels.max(initial=0)) <= len(_CLUSTERS)
    table = np.array([_id_colour(int(i), few) for i in ids], np.uint8).reshape(-1, 3)
    return table[inverse.reshape(labels.shape)]


def resize(rgb: Array, scale: float) -> Array:
    """The picture `scale` times as large, smooth in both directions."""
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(rgb).resize((width, height), method))


def _id_colour(i: int, few: bool) -> _Colour:
    if i == 0:
        return _NOTHING
    if few:
        return _CLUSTERS[i - 1]
    value, saturation = ((0.98, 0.55), (0.82, 0.80), (0.92, 0.35))[i % 3]
    red, green, blue = colorsys.hsv_to_rgb(i * 0.618034 % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _object_colours(count: int, classes: Sequence[str] | None, names: Sequence[str] | None) -> Array:
    if classes is None:
        return np.tile(np.array(_SINGLE, np.float32), (count + 1, 1))
    if len(classes) < count:
        raise ValueError(f"{count} objects, but {len(classes)} classes")
    by_name = class_colours(sorted(set(classes)) if names is None else names)
    unknown = set(classes) - set(by_name)
    if unknown:
        raise ValueError(f"classes {sorted(unknown)} are not among {list(by_name)}")
    return np.array([(0, 0, 0), *(by_name[name] for name in classes)], np.float32)


def _half_width(labels: Array) -> int:
    """Half of the line width in pixels; large pictures are shown reduced, so their lines are thicker."""
    sizes = np.bincount(labels.ravel())[1:]
    typical = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
    return 2 if max(labels.shape) >= 800 and typical >= 14**2 else 1


def _scale(shape: tuple[int, ...], long_side: int) -> float:
    longest = max(shape[:2])
    return long_side / longest if longest > long_side else float(max(1, long_side // longest))


def _fit(rgb: Array, long_side: int) -> Array:
    scale = _scale(rgb.shape, long_side)
    return rgb if scale == 1 else resize(rgb, scale)


def _fit_labels(labels: Array, long_side: int) -> Array:
    scale = _scale(labels.shape, long_side)
    if scale == 1:
        return labels
    rows, columns = (
        np.minimum((np.arange(max(1, round(side * scale))) + 0.5) / scale, side - 1).astype(int)
        for side in labels.shape
    )
    return labels[np.ix_(rows, columns)]


def _stretch(channel: Array) -> Array:
    values = channel.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.float32)
    low, high = np.percentile(values[finite], (0.3, 99.7))
    if high <= low:  # sparse or flat: the few values that differ still have to show
        low, high = float(values[finite].min()), float(values[finite].max())
    if high <= low:
        return np.full(values.shape, 0.5 if low else 0.0, np.float32)
    return np.clip((np.where(finite, values, low) - low) / (high - low), 0, 1)


def _bytes(values: Array) -> Array:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
