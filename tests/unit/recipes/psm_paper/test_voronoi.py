from __future__ import annotations

import numpy as np

from morula.recipes.psm.paper.losses import IGNORE
from morula.recipes.psm.paper.voronoi import gaussian_sigma, merge, peaks, random_points, target

PEAKS = {"blur": 13, "threshold": 0.5, "min_distance": 6, "exclude_border": 3}


def discs(*centres: tuple[int, int], radius: int = 7) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    return np.max([((y - a) ** 2 + (x - b) ** 2 <= radius**2) for a, b in centres], axis=0).astype(np.float32)


def test_opencvs_sigmas() -> None:
    assert [round(gaussian_sigma(width), 2) for width in (3, 13, 25)] == [0.8, 2.3, 4.1]


def test_a_disc_has_its_peak_in_the_middle() -> None:
    found = peaks(discs((20, 20), (44, 40)), **PEAKS)
    centres = merge(found, 20)
    assert len(centres) == 2
    for wanted in ([20, 20], [44, 40]):
        assert np.abs(centres - wanted).max(axis=1).min() <= 1


def test_there_are_no_peaks_at_the_border_or_below_the_threshold() -> None:
    assert len(peaks(discs((0, 0)), **PEAKS)) == 0
    assert len(peaks(0.4 * discs((32, 32)), **PEAKS)) == 0
    assert peaks(np.zeros((64, 64), np.float32), **PEAKS).shape == (0, 2)


def test_near_points_become_their_mean_over_chains() -> None:
    points = np.array([[0, 0], [0, 15], [40, 0], [0, 30]])
    np.testing.assert_array_equal(merge(points, 20), [[0, 15], [40, 0]])
    np.testing.assert_array_equal(merge(points, 15), points)
    assert merge(np.empty((0, 2)), 20).shape == (0, 2)


def test_distance_is_l1() -> None:
    assert len(merge(np.array([[0, 0], [12, 12]]), 20)) == 2
    assert len(merge(np.array([[0, 0], [9, 10]]), 20)) == 1


def test_too_few_points_are_replaced_by_four_random_ones_inside() -> None:
    rng = np.random.default_rng(0)
    found = random_points(np.array([[5.0, 5.0]]), (30, 600), rng)
    assert found.shape == (4, 2)
    assert (found < [30, 255]).all()
    four = np.zeros((4, 2))
    assert random_points(four, (30, 600), rng) is four


def test_two_points_have_a_border_half_way() -> None:
    found = target(np.array([[5.0, 2.0], [5.0, 9.0]]), (11, 12), 2)
    np.testing.assert_array_equal(found[0], [IGNORE] * 5 + [0, 0] + [IGNORE] * 5)
    np.testing.assert_array_equal(found[5], [1] * 5 + [0, 0] + [1] * 5)
    disc = [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(found[3:8, :5] == 1, np.array(disc, bool))


def test_cells_against_a_loop_over_all_pixels() -> None:
    points = np.random.default_rng(3).integers(0, 40, (6, 2)).astype(float)
    found = target(points, (40, 40), 0)
    cells = np.empty((42, 42), int)
    y, x = np.mgrid[-1:41, -1:41]
    distances = [(y - a) ** 2 + (x - b) ** 2 for a, b in points]
    cells[:] = np.argmin(distances, axis=0)
    ties = np.sort(distances, axis=0)
    sure = (ties[1] - ties[0])[1:-1, 1:-1] > 90  # far from a border, whatever the rounding
    assert (found[sure] != 0).all()
    for i, j in zip(*np.nonzero(found == 0), strict=True):
        around = cells[i : i + 3, j : j + 3]
        assert len(np.unique(around)) > 1


def test_points_win_over_borders_and_one_point_has_none() -> None:
    near = target(np.array([[5.0, 5.0], [5.0, 7.0]]), (11, 12), 2)
    assert (near[5, 3:10] == 1).all()
    alone = target(np.array([[5.4, 5.4]]), (11, 12), 1)
    assert (alone == 1).sum() == 5
    assert (alone == 0).sum() == 0
    assert (target(np.empty((0, 2)), (4, 4), 2) == IGNORE).all()
    assert target(np.array([[99.0, 99.0]]), (4, 4), 0)[3, 3] == 1
