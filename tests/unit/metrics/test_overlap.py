from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from morula.metrics import Counts
from morula.metrics.overlap import Overlap, assign, best_of_each, joined, overlap

labels = arrays(np.int64, (6, 7), elements=st.integers(0, 5))


def test_counts_areas_and_shared_pixels() -> None:
    truth = np.array([[1, 1, 0], [2, 2, 2]])
    pred = np.array([[1, 3, 3], [0, 3, 3]])
    table = overlap(pred, truth)
    assert table.truth_areas.tolist() == [2, 3]
    assert table.pred_areas.tolist() == [1, 4]
    assert [*zip(table.truth, table.pred, table.intersections, strict=True)] == [
        (0, 0, 1),
        (0, 1, 1),
        (1, 1, 2),
    ]
    assert table.unions.tolist() == [2, 5, 5]
    assert table.ious.tolist() == [0.5, 0.2, 0.4]
    assert table.pixels == Counts(tp=4, fp=1, fn=1)
    assert table.size == 6


def test_ids_with_gaps_are_kept_beside_the_table() -> None:
    table = overlap(pred=np.array([40, 0, 7], np.uint8), truth=np.array([300, 300, 5], np.uint16))
    assert table.truth_ids.tolist() == [5, 300]
    assert table.pred_ids.tolist() == [7, 40]
    assert table.intersections.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_huge_ids_do_not_overflow(dtype: type[np.integer]) -> None:
    huge = np.iinfo(dtype).max
    table = overlap(np.array([huge, huge, 0, 3], dtype), np.array([huge - 1, huge - 2, 0, huge], dtype))
    assert table.truth_areas.tolist() == [1, 1, 1]
    assert table.pred_areas.tolist() == [1, 2]
    assert table.truth_ids.tolist() == [huge - 2, huge - 1, huge]
    assert table.pred[table.truth == 2].tolist() == [0]


@given(pred=labels, truth=labels)
def test_equals_the_dense_table(pred: np.ndarray, truth: np.ndarray) -> None:
    table = overlap(pred, truth)
    dense = np.zeros((len(table.truth_ids), len(table.pred_ids)), int)
    dense[table.truth, table.pred] = table.intersections
    assert table.truth_ids.tolist() == sorted({*truth.flat} - {0})
    for row, truth_id in enumerate(table.truth_ids):
        assert table.truth_areas[row] == (truth == truth_id).sum()
        for column, pred_id in enumerate(table.pred_ids):
            assert dense[row, column] == ((truth == truth_id) & (pred == pred_id)).sum()


@given(pred=labels, truth=labels, lookup=arrays(np.int64, 6, elements=st.integers(1, 4)))
def test_joining_in_the_table_equals_counting_the_joined_image(
    pred: np.ndarray, truth: np.ndarray, lookup: np.ndarray
) -> None:
    fine = overlap(pred, truth)
    found, expected = (
        joined(fine, lookup[fine.pred_ids]),
        overlap(np.where(pred > 0, lookup[pred], 0), truth),
    )
    for each in fields(Overlap):
        assert np.array_equal(getattr(found, each.name), getattr(expected, each.name)), each.name


@pytest.mark.parametrize("labels", [[1], [1, 2, 3], [0, 1]])
def test_joining_needs_a_label_above_0_for_each_object(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="2 objects need as many labels above 0"):
        joined(overlap(np.array([3, 5]), np.array([1, 1])), np.array(labels))


@given(array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
def test_any_shape_even_without_pixels(shape: tuple[int, ...]) -> None:
    table = overlap(np.ones(shape, int), np.ones(shape, int))
    assert table.size == table.truth_areas.sum() == table.intersections.sum()


@given(pred=labels, truth=labels)
def test_assignment_is_one_to_one_and_as_heavy_as_the_dense_optimum(
    pred: np.ndarray, truth: np.ndarray
) -> None:
    from scipy.optimize import linear_sum_assignment

    table = overlap(pred, truth)
    dense = np.zeros((len(table.truth_ids), len(table.pred_ids)))
    dense[table.truth, table.pred] = table.ious
    chosen = assign(table, table.ious)
    assert len({*table.truth[chosen]}) == len({*table.pred[chosen]}) == len(chosen)
    assert table.ious[chosen].sum() == pytest.approx(dense[linear_sum_assignment(-dense)].sum(), abs=1e-12)


def test_best_of_each_breaks_ties_by_the_next_key_then_by_order() -> None:
    groups = np.array([0, 0, 0, 1, 1])
    first, second = np.array([2.0, 2.0, 1.0, 5.0, 5.0]), np.array([1, 3, 9, 4, 4])
    assert best_of_each(groups, first, second).tolist() == [1, 3]
    assert best_of_each(np.array([], int), np.array([])).tolist() == []


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (np.zeros((2, 3), int), "differ in shape"),
        (np.zeros((2, 2)), "integers, not float64"),
        (np.zeros((2, 2), bool), "integers, not bool"),
        (np.full((2, 2), -1), "negative, found -1"),
    ],
)
def test_refuses_what_is_no_label_image(pred: np.ndarray, message: str) -> None:
    truth = np.zeros((2, 2), int)
    with pytest.raises(ValueError, match=message):
        overlap(pred, truth)
    with pytest.raises(ValueError, match=message):
        overlap(truth, pred)
