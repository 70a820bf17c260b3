import numpy as np
import pytest

from morula.post import centre_distance, drop_small, regrow, split

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
