"""Makes images of one domain look like those of another, without training; and the pretext's corruption.

A grey value of exactly 0 is padding outside the section: it takes no part in statistics and stays 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.ndimage as ndi

from morula.core.rng import Rng
from morula.core.types import Array

__all__ = ["crappify", "fda", "match_histogram", "target_quantiles"]


def target_quantiles(slices: Iterable[Array]) -> Array:
    """The mean cumulative histogram of the target's slices, for `match_histogram`.

    The number of zeros is extrapolated from those of 1 and 2, h0 = max(0, 2 h1 - h2), because zeros are
    mostly padding. The last of the 255 bins holds both 254 and 255, as in the published code.

    Args:
        slices: uint8 or float, each `(y, x)` on the scale 0 to 255.

    Returns:
        `(255,)`, rising to 1.

    Raises:
        ValueError: no pixel is above 0.
    """
    counts = np.zeros(255)
    for image in slices:
        counts += np.histogram(image, bins=np.arange(256))[0]
    counts[0] = max(0.0, 2 * counts[1] - counts[2])
    if counts.sum() == 0:
        raise ValueError("the target's slices are black: there is no histogram to match")
    return np.cumsum(counts) / counts.sum()


def match_histogram(image: Array, quantiles: Array) -> Array:
    """The image with the target's histogram (Franco-Barranco et al., 2022, as in the published code).

    Args:
        image: uint8 or float, `(..., y, x)` on the scale 0 to 255.
        quantiles: of `target_quantiles`.

    Returns:
        float32, at most 254; 0 where the image is 0.
    """
    if image.dtype == np.uint8:
        counts = np.bincount(image.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        table = np.zeros(256, np.float32)
        table[values] = _matched(values, counts[values], quantiles)
        return table[image]
    values, places, counts = np.unique(image, return_inverse=True, return_counts=True)
    return _matched(values, counts, quantiles)[places].reshape(image.shape)


def _matched(values: Array, counts: Array, quantiles: Array) -> Array:
    """The new grey value of each of the sorted `values`, of which there are `counts` pixels."""
    counts = counts.astype(np.float64)
    padded = values[0] == 0
    if padded:
        counts[0] = 1.0 if len(values) == 1 else 0.0
        if values[:3].tolist() == [0, 1, 2]:
            counts[0] = max(0.0, 2 * counts[1] - counts[2])
    matched = np.interp(np.cumsum(counts) / counts.sum(), quantiles, np.arange(255))
    if padded:
        matched[0] = 0.0
    return matched.astype(np.float32)


def fda(image: Array, target: Array, beta: float, *, ceiling: float = 255.0) -> Array:
    """The image with the target's low-frequency amplitudes and its own phases (Yang and Soatto, CVPR 2020).

    Args:
        image: `(..., y, x)`.
        target: of the same y and x.
        beta: half the edge of the exchanged window as a part of the shorter side, 0 to below 0.5; 0 exchanges
            the mean alone.
        ceiling: results are clipped to 0 up to this.

    Returns:
        float32 `(..., y, x)`; 0 where the image is 0.

    Raises:
        ValueError: the sizes differ, or beta is out of range.
    """
    y, x = image.shape[-2:]
    if target.shape[-2:] != (y, x):
        raise ValueError(
            f"the target must be {y} x {x} as the image, not {target.shape[-2]} x {target.shape[-1]}"
        )
    if not 0 <= beta < 0.5:
        raise ValueError(f"beta must be at least 0 and below 0.5, not {beta}")
    edge = int(beta * min(y, x))
    low = np.ix_(np.r_[0 : edge + 1, y - edge : y], np.arange(edge + 1))
    spectrum = np.fft.rfft2(image.astype(np.float32))
    wanted = np.abs(np.fft.rfft2(target.astype(np.float32))[..., *low])
    spectrum[..., *low] = wanted * np.exp(1j * np.angle(spectrum[..., *low]))
    changed = np.fft.irfft2(spectrum, s=(y, x)).clip(0, ceiling)
    return np.where(image == 0, 0, changed).astype(np.float32)


def crappify(image: Array, rng: Rng, index: int, *, noise: float = 0.3) -> Array:
    """A noisy image of half the resolution at the old size: what the pretext has to restore.

    Gaussian noise of `noise` times the brightest pixel is added and clipped to the image's range; the result
    is halved and doubled with bilinear interpolation. The published code does so once a patch: give each
    patch its own `index`, and the same one in every epoch.

    Args:
        image: `(..., y, x)`, not negative.
        rng: its sample `index` is all the randomness.
        index: of the patch.
        noise: as a part of the brightest pixel.

    Returns:
        float32 `(..., y, x)`.
    """
    y, x = image.shape[-2:]
    top = float(image.max())
    noisy = image + noise * top * rng.at(index).standard_normal(image.shape, dtype=np.float32)
    other = [(0, 0)] * (image.ndim - 2)
    even = np.pad(noisy.clip(0, top), [*other, (0, y % 2), (0, x % 2)], mode="edge")
    small = even.reshape(*even.shape[:-2], even.shape[-2] // 2, 2, even.shape[-1] // 2, 2).mean(axis=(-3, -1))
    zoom = (*[1] * len(other), 2, 2)
    large = np.asarray(ndi.zoom(small, zoom, order=1, mode="nearest", grid_mode=True))
    return large[..., :y, :x].astype(np.float32)
