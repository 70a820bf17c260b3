import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morula.metrics import Counts, class_mean, counting_errors, macro, match_points, micro, point_scores

coordinates = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def test_distance_equal_to_the_radius_is_a_match() -> None:
    pred, truth = np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])
    assert len(match_points(pred, truth, 5.0)[0]) == 1
    assert len(match_points(pred, truth, 4.999)[0]) == 0


def test_a_point_is_matched_once() -> None:
    of_pred, of_truth = match_points(np.array([[0, 0], [0, 1]]), np.array([[0, 2]]), 5)
    assert (of_pred.tolist(), of_truth.tolist()) == ([1], [0])


def test_assigns_before_it_drops_distant_pairs() -> None:
    pred, truth = np.array([[0.0, 0], [10.0, 0]]), np.array([[1.0, 0], [-8.0, 0]])
    # the least total distance is 9 + 8 = 17 (crosswise 1 + 18 = 19), so both pairs are beyond a radius of 6
    assert point_scores({"a": pred}, {"a": truth}, 6)["a"] == Counts(0, 2, 2)


def test_classes_do_not_meet() -> None:
    here = np.array([[5.0, 5.0]])
    assert point_scores({"a": here}, {"b": here}, 3) == {"a": Counts(0, 1, 0), "b": Counts(0, 0, 1)}


def test_empties() -> None:
    nothing, point = np.empty((0, 2)), np.array([[1.0, 1.0]])
    assert point_scores({"a": nothing}, {"a": nothing}, 3)["a"].f1 == 1.0
    assert point_scores({"a": point}, {}, 3)["a"] == Counts(0, 1, 0)
    assert point_scores({}, {"a": point}, 3)["a"] == Counts(0, 0, 1)
    assert point_scores({}, {}, 3) == {}


@given(pred=coordinates, truth=coordinates)
def test_f1_is_symmetric(pred: list[tuple[int, int]], truth: list[tuple[int, int]]) -> None:
    first, second = (np.array(points, float).reshape(-1, 2) for points in (pred, truth))
    first += np.random.default_rng(0).uniform(
        0, 1e-3, first.shape
    )  # so that no two assignments weigh the same
    there, back = (point_scores({"a": a}, {"a": b}, 8.5)["a"] for a, b in ((first, second), (second, first)))
    assert (there.tp, there.fp, there.fn) == (back.tp, back.fn, back.fp)


def test_micro_pools_cells_and_macro_averages_images() -> None:
    images = [Counts(1, 0, 0), Counts(1, 3, 3)]
    assert micro(images).precision == pytest.approx(2 / 5)
    assert macro(images)["precision"] == pytest.approx((1 + 1 / 4) / 2)
    assert micro([]) == Counts(0, 0, 0)


def test_class_mean() -> None:
    mean = class_mean([macro([Counts(1, 0, 0)]), macro([Counts(1, 1, 3)])])
    assert mean == {"precision": 0.75, "recall": 0.625, "f1": pytest.approx((1 + 1 / 3) / 2)}
    assert class_mean([]) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_counting_errors() -> None:
    images = [{"p": Counts(3, 2, 0), "n": Counts(5, 0, 2)}, {"p": Counts(0, 0, 4)}]
    classes, total = counting_errors(images)
    assert classes == {"n": (2 + 0) / 2, "p": (2 + 4) / 2}
    assert total == (0 + 4) / 2


@pytest.mark.parametrize("average", [macro, counting_errors])
def test_refuses_the_mean_of_nothing(average) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        average([])


@pytest.mark.parametrize(
    ("pred", "radius", "message"),
    [
        (np.zeros((1, 2)), 0.0, "radius"),
        (np.zeros((1, 2)), np.nan, "radius"),
        (np.zeros((1, 3)), 1.0, "same d"),
        (np.zeros(2), 1.0, "same d"),
        (np.full((1, 2), np.nan), 1.0, "finite"),
    ],
)
def test_refuses_what_is_no_point(pred: np.ndarray, radius: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_points(pred, np.zeros((1, 2)), radius)
