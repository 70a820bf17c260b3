"""Masks of thin branches: a wider tube keeps its centre line, a shifted one is as far as the shift."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from morula.metrics.tubes import centreline_dice, hausdorff95


def tube(y: int, half: int, stop: int = 36) -> np.ndarray:
    mask = np.zeros((9, 30, 40), np.uint8)
    mask[4 - half : 5 + half, y - half : y + half + 1, 4:stop] = 1
    return mask


def test_width_does_not_matter_to_the_centre_line() -> None:
    assert centreline_dice(tube(15, 1), tube(15, 2)) > 0.98
    assert centreline_dice(tube(15, 1, stop=20), tube(15, 1)) == pytest.approx(2 / 3, abs=0.05)
    assert centreline_dice(tube(6, 1), tube(20, 1)) == 0


def test_empty_masks() -> None:
    nothing = np.zeros((9, 30, 40), bool)
    assert centreline_dice(nothing, nothing) == 1
    assert centreline_dice(nothing, tube(15, 1)) == 0
    assert hausdorff95(nothing, nothing) == 0
    assert hausdorff95(tube(15, 1), nothing) == np.inf


@pytest.mark.parametrize("score", [centreline_dice, hausdorff95])
def test_shapes_must_agree(score: object) -> None:
    with pytest.raises(ValueError, match="shape"):
        score(np.zeros((3, 3)), np.zeros((3, 4)))  # type: ignore[operator]


def test_distance_of_surfaces_against_all_pairs() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random((6, 7, 8)) > 0.8 for _ in range(2))
    spacing = (3.0, 1.0, 0.5)
    a, b = (np.argwhere(mask) * spacing for mask in (one, other))  # so sparse that all voxels are surface
    away = cdist(a, b)
    expected = max(np.quantile(away.min(axis=1), 0.95), np.quantile(away.min(axis=0), 0.95))
    assert hausdorff95(one, other, spacing=spacing) == pytest.approx(expected)
