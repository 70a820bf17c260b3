import numpy as np
import pytest

from morula.metrics import dice, iou, iou_per_slice, semantic_scores

PRED = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]])
TRUTH = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 1]]])


def test_by_hand() -> None:
    assert iou(PRED, TRUTH) == pytest.approx(1 / 5)
    assert dice(PRED, TRUTH) == pytest.approx(2 / 6)
    assert iou_per_slice(PRED, TRUTH) == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert iou_per_slice(PRED, TRUTH, empty=0.0) == pytest.approx((1 / 3 + 0 + 0) / 3)


def test_any_non_zero_value_is_foreground() -> None:
    assert iou((PRED * 255).astype(np.uint8), TRUTH.astype(bool)) == iou(PRED, TRUTH)


def test_an_image_is_one_section() -> None:
    assert iou_per_slice(PRED[0], TRUTH[0]) == iou(PRED[0], TRUTH[0])


def test_empties() -> None:
    nothing, everything = np.zeros((2, 3, 3), bool), np.ones((2, 3, 3), bool)
    assert {*semantic_scores(nothing, nothing).values()} == {1.0}
    assert {*semantic_scores(everything, nothing).values()} == {0.0}
    assert {*semantic_scores(nothing, everything).values()} == {0.0}


def test_keys() -> None:
    scores = semantic_scores(PRED, TRUTH)
    assert list(scores) == ["iou", "iou_per_slice", "dice"]
    assert all(type(score) is float for score in scores.values())


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (PRED[0], "differ in shape"),
        (PRED.astype(float), "bool or integer, not float64"),
        (-PRED, "negative, found -1"),
    ],
)
def test_refuses_what_is_no_mask(pred: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        semantic_scores(pred, TRUTH)


@pytest.mark.parametrize("shape", [(4,), (0, 4, 4), (2, 2, 2, 2)])
def test_refuses_what_is_no_stack(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="stack"):
        iou_per_slice(np.zeros(shape, bool), np.zeros(shape, bool))
