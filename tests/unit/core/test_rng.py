from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from morula.core.rng import Rng


@given(st.integers(0, 2**31), st.text(max_size=8), st.integers(0, 2**40))
def test_a_sample_depends_on_seed_stream_and_index_alone(seed: int, stream: str, index: int) -> None:
    first, again = Rng(seed, stream), Rng(seed, stream)
    again.at(index + 1).random(5)
    draws = first.at(index).random(3).tolist()
    assert draws == again.at(index).random(3).tolist()
    assert draws != first.at(index + 1).random(3).tolist()
    assert draws != Rng(seed + 1, stream).at(index).random(3).tolist()
    assert draws != first.child("x").at(index).random(3).tolist()
