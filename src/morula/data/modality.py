"""How an image was made, told from its pixels: what is bright, what is dark, which stains are there."""

from __future__ import annotations

from typing import Literal

import numpy as np

from morula.core.types import Array

__all__ = ["Modality", "modality", "unit_grey"]

Modality = Literal["fluorescence", "brightfield", "phase contrast", "H&E", "IHC"]

_DARK, _LIGHT = 0.28, 0.65  # a background (the commonest grey, smoothed) below is dark, above is light
_COLOURED = 6.0  # mean spread of the channels, of 255, above which an image is not grey
_STAINED = 0.15  # optical density, mean of the channels, of a pixel that took up stain


def modality(image: Array) -> Modality:
    """The modality of a 2D image.

    A dark background means fluorescence and a light one absorption; where grey levels lie on both sides of
    the background it is phase contrast. Stained tissue is haematoxylin and eosin where green is absorbed
    most (pink, purple), and immunohistochemistry where blue or red is (brown DAB, blue haematoxylin).

    Args:
        image: `(y, x, c)` with 1 or 3 channels (others are averaged), any real dtype.

    >>> modality(np.pad(np.ones((8, 8, 1)), ((20, 20), (20, 20), (0, 0))))
    'fluorescence'
    """
    background = _background(unit_grey(image))
    if _is_coloured(image):
        return "fluorescence" if background < _DARK and _is_black(image) else _stain(image)
    if background < _DARK:
        return "fluorescence"
    return "brightfield" if background > _LIGHT else "phase contrast"


def unit_grey(image: Array) -> Array:
    """Mean over the channels, stretched so that the 0.5 % darkest are 0 and the 0.5 % lightest 1.

    Args:
        image: `(y, x, c)`, any real dtype.

    Returns:
        `(y, x)` float32 in [0, 1]; zeros for a constant image.
    """
    grey = np.asarray(image, dtype=np.float32).mean(axis=-1)
    low, high = np.percentile(grey, [0.5, 99.5])
    return np.clip((grey - low) / max(float(high - low), 1e-6), 0.0, 1.0)


def _background(grey: Array) -> float:
    counts, edges = np.histogram(grey, bins=32, range=(0.0, 1.0))
    smooth = np.convolve(counts, [1, 2, 1], mode="same")
    return float(edges[np.argmax(smooth)] + 1 / 64)


def _is_black(image: Array) -> bool:
    """Whether most of the image is unlit, and not merely dense with stain."""
    grey = image.astype(np.float32).mean(axis=-1)
    return bool(np.median(grey) < 0.15 * np.percentile(grey, 99.5))


def _is_coloured(image: Array) -> bool:
    if image.shape[-1] != 3:
        return False
    spread = np.asarray(np.ptp(image.astype(np.float32), axis=-1)).mean()
    full = 255.0 if image.dtype == np.uint8 else max(float(image.max()), 1e-6)
    return bool(spread / full * 255.0 > _COLOURED)


def _stain(image: Array) -> Modality:
    white = max(float(np.percentile(image, 99.5)), 1e-6)
    density = -np.log(np.clip(image.astype(np.float32) / white, 1 / 256, 1.0))
    stained = density[density.mean(axis=-1) > _STAINED]
    if len(stained) == 0:
        return "H&E"
    return "H&E" if float(np.mean(stained.argmax(axis=-1) == 1)) > 0.5 else "IHC"
