import pytest

from morula.metrics import Counts


def test_ratios() -> None:
    counts = Counts(tp=6, fp=2, fn=4)
    assert (counts.precision, counts.recall) == (0.75, 0.6)
    assert counts.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert counts.ap == 0.5
    assert (counts.predicted, counts.expected) == (8, 10)


@pytest.mark.parametrize(
    ("counts", "value"),
    [(Counts(0, 0, 0), 1.0), (Counts(0, 3, 0), 0.0), (Counts(0, 0, 3), 0.0), (Counts(0, 2, 2), 0.0)],
)
def test_without_a_true_positive(counts: Counts, value: float) -> None:
    assert {counts.precision, counts.recall, counts.f1, counts.ap} == {value}


def test_sum_pools() -> None:
    assert Counts(1, 2, 3) + Counts(4, 5, 6) == Counts(5, 7, 9)
