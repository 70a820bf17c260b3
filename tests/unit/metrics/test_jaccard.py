import numpy as np
import pytest

from morula.metrics import aji, aji_fast, aji_plus

FIVE = np.repeat([0, 1, 0, 2, 0, 3, 0, 4, 0, 5], 10)


def test_five_equal_nuclei_of_which_one_is_missed() -> None:
    pred = np.where(FIVE == 5, 0, FIVE)
    assert aji(pred, FIVE) == pytest.approx(4 / 5)
    assert aji_plus(pred, FIVE) == pytest.approx(4 / 5)
    assert aji_fast(pred, FIVE) == pytest.approx(4 / 6)


def test_touching_pair_predicted_as_one_blob() -> None:
    truth = np.repeat([0, 1, 2, 0], 10)
    blob = (truth > 0).astype(int)
    assert aji(blob, truth) == pytest.approx(20 / 40)
    assert aji_fast(blob, truth) == pytest.approx(20 / 40)
    assert aji_plus(blob, truth) == pytest.approx(10 / (20 + 10))


def test_one_nucleus_split_in_two() -> None:
    truth = np.ones(10, int)
    pred = np.repeat([1, 2], [7, 3])
    for score in (aji, aji_fast, aji_plus):
        assert score(pred, truth) == pytest.approx(7 / (10 + 3))


def test_one_to_one_pairs_maximise_the_sum_not_the_single_iou() -> None:
    truth = np.array([1] * 6 + [2] * 5)
    pred = np.array([8] * 2 + [9] * 6 + [0] * 3)
    # IoU: (1, 8) 2/6, (1, 9) 4/8, (2, 9) 2/9; together (1, 8) and (2, 9) weigh 5/9 and beat 1/2
    assert aji_plus(pred, truth) == pytest.approx((2 + 2) / (6 + 9))
    assert aji(pred, truth) == pytest.approx((4 + 2) / (8 + 9 + 2))


def test_of_equal_ious_the_larger_overlap_wins() -> None:
    truth = np.array([0] + [1] * 6 + [0] * 3)
    pred = np.array([5] * 2 + [0] + [7] * 7)[: truth.size]
    # IoU: 5 shares 1 of 7, 7 shares 4 of 9
    assert aji(pred, truth) == pytest.approx(4 / (9 + 2))
    halves = np.array([3, 3, 4, 4, 4, 4, 4, 4]), np.array([1, 1, 1, 1, 0, 0, 0, 0])
    # 3 shares 2 of 4, 4 shares 2 of 8
    assert aji(*halves) == pytest.approx(2 / (4 + 6))


def test_aji_fast_blames_the_lowest_label_even_when_nothing_else_matches() -> None:
    truth, pred = np.array([1, 1, 0, 0, 0]), np.array([0, 0, 4, 4, 4])
    assert aji_fast(pred, truth) == 0.0
    truth, pred = np.array([1, 1, 0, 0, 2, 2]), np.array([0, 0, 3, 0, 9, 9])
    # missed: |G| 2 + |S_3| 1, which is then used; matched: 2
    assert aji_fast(pred, truth) == pytest.approx(2 / (2 + 2 + 1))
    assert aji(pred, truth) == pytest.approx(2 / (2 + 2 + 1))


@pytest.mark.parametrize("score", [aji, aji_fast, aji_plus])
def test_empties(score) -> None:
    nothing = np.zeros_like(FIVE)
    assert score(nothing, nothing) == 1.0
    assert score(FIVE, nothing) == 0.0
    assert score(nothing, FIVE) == 0.0
    assert score(FIVE, FIVE) == 1.0
