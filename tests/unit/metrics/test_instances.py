import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from morula.metrics import ensemble_dice, instance_scores, object_dice, overlap

KEYS = ["aji", "aji_plus", "pq", "dq", "sq", "ap50", "dsb", "object_dice", "iou", "f1"]
labels = arrays(np.int32, (8, 8), elements=st.integers(0, 6))


def test_object_dice_by_hand() -> None:
    truth = np.array([1, 1, 1, 1, 2, 2, 0, 0])
    pred = np.array([5, 5, 5, 0, 0, 0, 7, 7])
    # truth: 1 has D = 6/7 with weight 4/6, 2 has none; prediction: 5 has 6/7 with weight 3/5, 7 has none
    assert object_dice(pred, truth) == pytest.approx((6 / 7 * 4 / 6 + 6 / 7 * 3 / 5) / 2)


def test_object_dice_takes_the_partner_that_shares_most_pixels() -> None:
    truth = np.array([1] * 10 + [0] * 20)
    pred = np.array([3] * 4 + [4] * 26)
    # 4 shares 6 pixels (D = 12/36), although 3 has the larger Dice (8/14)
    assert object_dice(pred, truth) == pytest.approx((12 / 36 + (4 * 8 / 14 + 26 * 12 / 36) / 30) / 2)


def test_ensemble_dice_counts_an_object_once_a_pair() -> None:
    truth, pred = np.array([1, 1, 2, 2, 3]), np.array([1, 1, 1, 2, 0])
    assert ensemble_dice(pred, truth) == pytest.approx(2 * (2 + 1 + 1) / ((2 + 3) + (2 + 3) + (2 + 1)))
    assert ensemble_dice(np.array([1, 0]), np.array([0, 1])) == 0.0


def test_instance_scores_has_every_key_as_a_float() -> None:
    truth = np.array([[1, 1, 0, 2, 2]])
    scores = instance_scores(np.array([[4, 4, 0, 9, 0]]), truth)
    assert list(scores) == KEYS
    assert all(type(score) is float for score in scores.values())
    assert json.loads(json.dumps(scores)) == scores
    assert scores["iou"] == pytest.approx(3 / 4)
    assert scores["f1"] == pytest.approx(6 / 7)
    assert scores["ap50"] == 1.0  # IoU of exactly one half is a match here,
    assert scores["dq"] == 0.5  # but not in panoptic quality


@pytest.mark.parametrize(("pred", "truth", "value"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0), (1, 1, 1.0)])
def test_empties(pred: int, truth: int, value: float) -> None:
    images = np.full((3, 4), pred), np.full((3, 4), truth)
    assert {*instance_scores(*images).values()} == {value}
    assert ensemble_dice(*images) == object_dice(*images) == value


def test_volumes_score_like_images() -> None:
    truth = np.array([[1, 1, 0, 2, 2]])
    pred = np.array([[1, 0, 0, 2, 2]])
    assert instance_scores(pred[None], truth[None]) == instance_scores(pred, truth)


@given(truth=labels, pred=labels)
def test_all_scores_lie_between_zero_and_one(truth: np.ndarray, pred: np.ndarray) -> None:
    assert all(0.0 <= score <= 1.0 for score in instance_scores(pred, truth).values())


@given(labels)
def test_the_truth_itself_is_perfect(truth: np.ndarray) -> None:
    assert instance_scores(truth, truth) == pytest.approx(dict.fromkeys(KEYS, 1.0), abs=1e-12)


@given(truth=labels, pred=labels)
def test_gaps_in_ids_change_nothing(truth: np.ndarray, pred: np.ndarray) -> None:
    assert instance_scores(pred * 1000, truth * 77) == instance_scores(pred, truth)


@settings(derandomize=True)
@given(truth=labels, pred=labels, names=st.permutations(range(1, 7)))
def test_permuted_ids_change_nothing(truth: np.ndarray, pred: np.ndarray, names: list[int]) -> None:
    table = overlap(pred, truth)
    ious = [*zip(table.truth, table.ious, strict=True)]
    renamed = np.array([0, *names])[pred]
    before, after = instance_scores(pred, truth), instance_scores(renamed, truth)
    for key in KEYS[2:]:
        assert after[key] == pytest.approx(before[key], abs=1e-12)
    assume(
        len({*ious}) == len(ious)
    )  # the aggregated index breaks ties of IoU by label, as its references do
    assert after["aji"] == pytest.approx(before["aji"], abs=1e-12)
