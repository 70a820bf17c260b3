import numpy as np
import pytest

from morula.post import centre_distance, drop_small, regrow, smooth_outlines, split

TWO = np.zeros((30, 40), dtype=np.int32)
TWO[8:20, 5:17] = 1
TWO[8:20, 17:29] = 2


def test_split_undoes_centre_distance():
    labels = split((TWO > 0).astype(float), centre_distance(TWO), smoothing=1.0, depth=0.1)
    assert labels.max() == 2
    assert np.mean((labels == labels[14, 10]) == (TWO == 1)) > 0.97


def test_split_of_nothing_is_nothing():
    assert split(np.zeros((9, 9)), np.zeros((9, 9))).max() == 0


def test_centre_distance_is_one_in_the_middle_and_zero_outside():
    distance = centre_distance(TWO)
    assert distance[TWO == 0].max() == 0
    assert distance[TWO == 1].max() == pytest.approx(1)
    assert distance.dtype == np.float32


def test_drop_small_leaves_no_gaps():
    labels = TWO.copy()
    labels[0, 0] = 3
    labels[labels == 1] = 4
    kept = drop_small(labels, 2)
    assert set(np.unique(kept)) == {0, 1, 2}


def test_regrow_moves_an_outline_to_the_edge():
    density = (TWO == 1).astype(float)
    small = np.zeros_like(TWO)
    small[10:18, 7:15] = 1
    grown = regrow(small, density, reach=4)
    assert np.mean((grown == 1) == (TWO == 1)) > 0.98


def test_regrow_keeps_objects_too_small_for_a_core():
    tiny = np.zeros((20, 20), dtype=np.int32)
    tiny[5:7, 5:7] = 1
    assert (regrow(tiny, np.zeros((20, 20))) == 1).any()


def test_smooth_outlines_takes_a_spike_off_and_leaves_the_disc():
    y, x = np.indices((60, 60))
    disc = ((y - 30) ** 2 + (x - 30) ** 2 <= 14**2).astype(np.int32)
    spiked = disc.copy()
    spiked[29:31, 30:58] = 1
    smooth = smooth_outlines(spiked, 0.14, 3.0)
    assert not smooth[:, 48:].any()
    assert np.count_nonzero(smooth != disc) < 0.05 * disc.sum()


def test_smooth_outlines_leaves_a_straight_border_between_two_and_at_the_image_where_it_is():
    halves = np.ones((40, 40), dtype=np.int32)
    halves[:, 20:] = 5
    assert (smooth_outlines(halves, 0.1, 3.0) == halves).all()


def test_smooth_outlines_keeps_a_small_disc_that_the_widest_blur_would_lose():
    y, x = np.indices((40, 40))
    labels = ((y - 10) ** 2 + (x - 10) ** 2 <= 3**2).astype(np.int32)
    assert np.count_nonzero(smooth_outlines(labels, 0.14, 10.0) != labels) < 0.4 * labels.sum()
    assert (smooth_outlines(labels, 0.0, 10.0) == labels).all()


def test_smooth_outlines_are_narrower_at_a_higher_level():
    areas = [np.count_nonzero(smooth_outlines(TWO, 0.1, 3.0, level=level)) for level in (0.5, 0.6, 0.7)]
    assert areas[0] > areas[1] > areas[2] > 0


def test_smooth_outlines_loses_what_is_far_narrower_than_the_blur():
    line = np.zeros((60, 60), dtype=np.int32)
    line[30, 2:58] = 2
    assert smooth_outlines(line, 0.2, 3.0).max() == 0
    assert smooth_outlines(np.zeros((5, 5), np.int32), 0.1, 2.0).max() == 0
