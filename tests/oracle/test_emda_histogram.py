"""Histogram matching against the published steps, written with sets and loops."""

from __future__ import annotations

import numpy as np
import pytest

from morula.core.rng import Rng
from morula.recipes.emda.appearance import match_histogram, target_quantiles


def slow_quantiles(slices: list[np.ndarray]) -> list[float]:
    counts = [0.0] * 255
    for image in slices:
        for value in image.ravel().tolist():
            counts[min(int(value), 254)] += 1
    counts[0] = max(0.0, 2 * counts[1] - counts[2])
    running, total = 0.0, sum(counts)
    quantiles = []
    for count in counts:
        running += count
        quantiles.append(running / total)
    return quantiles


def slow_match(image: np.ndarray, quantiles: list[float]) -> np.ndarray:
    values = image.ravel().tolist()
    unique = sorted(set(values))
    counts = {value: float(values.count(value)) for value in unique}
    if unique[0] == 0:
        if unique[:3] == [0, 1, 2]:
            counts[0] = max(0.0, 2 * counts[1] - counts[2])
        else:
            counts[0] = 1.0 if len(unique) == 1 else 0.0
    running, total, new = 0.0, sum(counts.values()), {}
    for value in unique:
        running += counts[value]
        new[value] = 0.0 if value == 0 else between(running / total, quantiles)
    return np.array([new[value] for value in values]).reshape(image.shape)


def between(quantile: float, quantiles: list[float]) -> float:
    """The grey value at a quantile, by linear interpolation."""
    if quantile <= quantiles[0]:
        return 0.0
    for value in range(1, len(quantiles)):
        if quantile < quantiles[value]:
            below, above = quantiles[value - 1], quantiles[value]
            return value - 1 + (quantile - below) / (above - below)
    return float(len(quantiles) - 1)


def images(kind: str) -> tuple[np.ndarray, list[np.ndarray]]:
    draw = Rng(0, kind).at(0)
    target = [draw.integers(0, 256, (12, 12)).astype(np.uint8) for _ in range(3)]
    source = draw.integers(0, 60, (12, 12)).astype(np.uint8)
    if kind == "dark":
        source, target[0] = source // 8, target[0] // 90
    if kind == "padding":
        source[source < 3], target[1][:6] = 0, 0
    if kind == "no zeros":
        source += 5
    return source, target


@pytest.mark.parametrize("kind", ["dark", "padding", "no zeros", "plain"])
def test_histogram_matching_is_the_published_one(kind: str) -> None:
    source, target = images(kind)
    quantiles = target_quantiles(target)
    np.testing.assert_allclose(quantiles, slow_quantiles(target), rtol=1e-12)
    # Where the target lacks grey values, quantiles tie and the two searches may differ in the last digits.
    np.testing.assert_allclose(
        match_histogram(source, quantiles), slow_match(source, slow_quantiles(target)), rtol=1e-5, atol=1e-4
    )
