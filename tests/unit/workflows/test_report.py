"""What the page says of measured scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from morula.metrics import LOWER_IS_BETTER
from morula.workflows.findings import Finding
from morula.workflows.report import _MEASURES, _scores


@pytest.mark.parametrize("key", _MEASURES)
def test_errors_and_distances_are_told_apart_from_scores(key: str) -> None:
    (score,) = _scores([Finding("a", None, None, Path(), {key: 0.25})])
    assert (score.measure, score.mean) == (key, 0.25)
    assert score.higher_is_better == (key not in LOWER_IS_BETTER)
    assert not (score.higher_is_better and "0 is perfect" in score.meaning)


def test_every_error_is_told() -> None:
    assert set(_MEASURES) > LOWER_IS_BETTER
