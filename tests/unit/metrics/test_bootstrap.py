import numpy as np
import pytest

from morula.metrics import bootstrap_mean


def test_width_is_that_of_the_normal_interval() -> None:
    scores = np.random.default_rng(1).normal(0.7, 0.1, 200)
    mean, low, high = bootstrap_mean(scores, np.random.default_rng(0), resamples=2000)
    assert mean == pytest.approx(scores.mean())
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(200), rel=0.08)


def test_the_same_generator_gives_the_same_interval() -> None:
    scores = np.array([0.1, 0.5, 0.9])
    first, second = (bootstrap_mean(scores, np.random.default_rng(7), resamples=50) for _ in range(2))
    assert first == second


def test_lower_confidence_is_narrower() -> None:
    scores = np.linspace(0, 1, 20)
    wide, narrow = (
        bootstrap_mean(scores, np.random.default_rng(0), confidence=level, resamples=500)
        for level in (0.95, 0.5)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_image_has_no_width() -> None:
    assert bootstrap_mean(np.array([0.4]), np.random.default_rng(0), resamples=10) == (0.4, 0.4, 0.4)


@pytest.mark.parametrize("scores", [np.array([]), np.array([0.1, np.nan]), np.zeros((2, 2))])
def test_refuses_what_is_no_list_of_scores(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one finite number per image"):
        bootstrap_mean(scores, np.random.default_rng(0))


@pytest.mark.parametrize(("confidence", "resamples"), [(0.0, 10), (1.0, 10), (0.9, 0)])
def test_refuses_options_out_of_range(confidence: float, resamples: int) -> None:
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_mean(np.zeros(2), np.random.default_rng(0), confidence=confidence, resamples=resamples)
