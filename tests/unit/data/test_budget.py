from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morula.core.rng import Rng
from morula.data.budget import few_shot, few_shot_order

SIZES = {"fluorescence": 58, "tissue": 20, "brightfield": 3}
STRATA = {f"{name}-{i}": name for name, size in SIZES.items() for i in range(size)}


@pytest.mark.parametrize("seed", range(5))
def test_small_draws_hold_the_shares_of_the_strata(seed):
    def held(count):
        return Counter(STRATA[name] for name in few_shot(STRATA, count, Rng(seed)))

    assert held(1) == {"fluorescence": 1}
    assert held(5) == {"fluorescence": 4, "tissue": 1}
    assert held(10) == {"fluorescence": 7, "tissue": 3}
    assert held(20)["brightfield"] == 1


def test_draws_are_nested_and_differ_between_seeds():
    draws = [few_shot(STRATA, count, Rng(3)) for count in (1, 2, 5, 10, len(STRATA))]
    for small, large in pairwise(draws):
        assert large[: len(small)] == small
    assert sorted(draws[-1]) == sorted(STRATA)
    assert few_shot(STRATA, 5, Rng(3)) != few_shot(STRATA, 5, Rng(4))


def test_the_order_of_the_files_changes_nothing():
    backwards = dict(reversed(STRATA.items()))
    assert few_shot_order(backwards, Rng(0)) == few_shot_order(STRATA, Rng(0))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 9))
def test_no_stratum_is_ever_an_image_ahead_or_behind_of_its_share_by_more_than_the_rule_allows(sizes, seed):
    """Webster's rule: a common divisor explains every beginning of the order."""
    strata = {f"{number}-{i}": str(number) for number, size in enumerate(sizes) for i in range(size)}
    order = few_shot_order(strata, Rng(seed))
    for count in range(1, len(order)):
        placed = Counter(strata[name] for name in order[:count])
        last = min(size / (2 * placed[str(n)] - 1) for n, size in enumerate(sizes) if placed[str(n)])
        next_one = [size / (2 * placed[str(n)] + 1) for n, size in enumerate(sizes) if placed[str(n)] < size]
        assert last >= max(next_one)


@pytest.mark.parametrize("count", [-1, 82])
def test_a_draw_that_is_too_large_is_refused(count):
    with pytest.raises(ValueError, match="cannot be drawn from 81"):
        few_shot(STRATA, count, Rng(0))
