"""Parts of volumes: which index is a box, and what a part knows of its whole."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from morula.data import open_volume
from morula.data.box import bounding_box, crop
from volume_files import STACK, write_tiff

ENTRY = st.one_of(
    st.integers(-3, 2), st.slices(3), st.lists(st.integers(-3, 2), min_size=2, max_size=2).map(np.array)
)


@settings(deadline=None)
@example([slice(None), 0, np.array([0, 2])], 2, True)
@given(st.lists(ENTRY, max_size=3), st.integers(0, 3), st.booleans())
def test_a_box_and_the_rest_are_the_index(entries: list[object], place: int, dots: bool) -> None:
    if dots:
        entries.insert(place, Ellipsis)
    array = np.arange(27).reshape(3, 3, 3)
    found = bounding_box(tuple(entries), array.shape)
    assert found is not None
    box, rest = found
    assert all(each.step is None and 0 <= each.start <= each.stop <= 3 for each in box)
    np.testing.assert_array_equal(array[box][rest], array[tuple(entries)])


@pytest.mark.parametrize("key", [None, (None, 0), np.ones((3, 3, 3), bool), True, (..., 1, ...)])
def test_other_indices_have_no_box(key: object) -> None:
    assert bounding_box(key, (3, 3, 3)) is None


@pytest.mark.parametrize("key", [3, (0, -4), ([0, 3],), (0, 0, 0, 0)])
def test_an_index_outside(key: object) -> None:
    with pytest.raises(IndexError):
        bounding_box(key, (3, 3, 3))


def test_a_part_of_a_volume_is_a_volume(tmp_path: Path) -> None:
    whole = open_volume(write_tiff(tmp_path / "a.tif"))
    part = crop(whole, (slice(2, 9), slice(None), slice(-4, None)))
    expected = STACK[2:9, :, -4:]
    assert (part.shape, part.dtype, part.uri) == (expected.shape, whole.dtype, whole.uri)
    assert part.fingerprint != whole.fingerprint
    for key in (..., -1, (slice(1, 5, 2), 3), (..., [2, 0]), expected > 99):
        np.testing.assert_array_equal(part[key], expected[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).read(), expected)
    with pytest.raises(ValueError, match="steps"):
        crop(whole, (slice(None, None, 2), slice(None), slice(None)))
