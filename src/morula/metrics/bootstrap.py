"""How far a mean over few images can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from morula.core.types import Array

__all__ = ["Interval", "bootstrap_mean"]


class Interval(NamedTuple):
    """A mean and the interval that resampling the images gives it."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    scores: Array, rng: np.random.Generator, *, confidence: float = 0.95, resamples: int = 10_000
) -> Interval:
    """Percentile bootstrap interval of the mean of one score per image.

    Images, not objects or pixels, are drawn again with replacement, because errors within an image go
    together. With one image the interval has no width, which says nothing about its error; below about ten
    images it is too narrow.

    Args:
        scores: `(n,)` one finite score per image.
        rng: draws the resamples; the same state gives the same interval.
        confidence: the probability that the interval covers, in (0, 1).
        resamples: how many times the images are drawn again.

    Returns:
        The mean and the two ends of the interval, in the unit of the scores.

    Raises:
        ValueError: there are no scores, more than one axis, a score that is not finite, a confidence out of
            range, or no resample.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> interval = bootstrap_mean(np.array([0.6, 0.7, 0.8]), np.random.default_rng(0))
    >>> interval.low < 0.65 < interval.mean < 0.75 < interval.high
    True
    """
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"scores must be one finite number per image, not an array of shape {scores.shape}")
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence lies in (0, 1) and resamples above 0, not {confidence} and {resamples}")
    draws = (scores[rng.integers(len(scores), size=len(scores))] for _ in range(resamples))
    means = np.fromiter((draw.mean() for draw in draws), float, resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(scores.mean()), float(low), float(high))
