import numpy as np
import pytest

from morula.metrics import DSB_THRESHOLDS, Counts, dsb_score, matching, panoptic_quality

TRUTH = np.repeat([0, 1, 2, 3], [2, 10, 10, 4])
PRED = np.repeat([0, 5, 0, 6, 9], [2, 8, 2, 13, 1])  # IoU 8/10, 10/13, 1/4


def test_counts_by_threshold() -> None:
    assert matching(PRED, TRUTH, 0.78).counts == Counts(1, 2, 2)
    counts, mean_iou = matching(PRED, TRUTH, 0.7)
    assert counts == Counts(2, 1, 1)
    assert counts.ap == 0.5
    assert mean_iou == pytest.approx((8 / 10 + 10 / 13) / 2)


def test_threshold_is_inclusive_and_exact() -> None:
    truth = np.ones(10, int)
    for tenths in (5, 6, 7, 8, 9):
        pred = (np.arange(10) < tenths).astype(int)
        assert matching(pred, truth, tenths / 10).counts.tp == 1


def test_at_one_half_two_candidates_serve_one_object_once() -> None:
    assert matching(np.array([1, 1, 2, 2]), np.ones(4, int), 0.5).counts == Counts(1, 1, 0)


def test_low_threshold_finds_the_largest_matching() -> None:
    truth = np.array([1] * 6 + [2] * 5)
    pred = np.array([8] * 2 + [9] * 6 + [0] * 3)
    # IoU: (1, 8) 1/3, (1, 9) 1/2, (2, 9) 2/9: the best single pair would leave object 2 alone
    assert matching(pred, truth, 0.2).counts == Counts(2, 0, 0)
    assert matching(pred, truth, 0.3).counts == Counts(1, 1, 1)


def test_panoptic_quality_by_hand() -> None:
    pq, dq, sq = panoptic_quality(PRED, TRUTH)
    assert dq == pytest.approx(2 / 3)
    assert sq == pytest.approx((8 / 10 + 10 / 13) / 2)
    assert pq == pytest.approx(dq * sq)


def test_panoptic_quality_needs_more_than_the_threshold() -> None:
    half = np.array([1, 1, 0, 0])
    assert panoptic_quality(half, np.ones(4, int)) == (0.0, 0.0, 0.0)
    assert matching(half, np.ones(4, int)).counts.tp == 1


def test_dsb_score_averages_ten_thresholds() -> None:
    assert len(DSB_THRESHOLDS) == 10
    assert dsb_score(PRED, TRUTH) == pytest.approx((6 * 2 / 4 + 1 / 5) / 10)


def test_empties() -> None:
    nothing = np.zeros_like(TRUTH)
    assert panoptic_quality(nothing, nothing) == (1.0, 1.0, 1.0)
    assert panoptic_quality(TRUTH, nothing) == panoptic_quality(nothing, TRUTH) == (0.0, 0.0, 0.0)
    assert matching(nothing, nothing) == (Counts(0, 0, 0), 1.0)
    assert matching(TRUTH, nothing) == (Counts(0, 3, 0), 0.0)
    assert (dsb_score(nothing, nothing), dsb_score(TRUTH, nothing), dsb_score(nothing, TRUTH)) == (1, 0, 0)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01])
def test_refuses_a_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        matching(PRED, TRUTH, threshold)
    with pytest.raises(ValueError, match="threshold"):
        panoptic_quality(PRED, TRUTH, threshold)
