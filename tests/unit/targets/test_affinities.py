from itertools import product

import numpy as np
import pytest

from morula.core.affinities import LONG_RANGE, MUTEX, NEAREST, Offset
from morula.targets import affinities, partnered, widen_border


def labels(seed: int = 0, shape: tuple[int, ...] = (3, 7, 6)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape)


def slow(volume: np.ndarray, offset: Offset) -> np.ndarray:
    found = np.zeros(volume.shape, int)
    for place in product(*map(range, volume.shape)):
        other = tuple(a + b for a, b in zip(place, offset, strict=True))
        if all(0 <= each < size for each, size in zip(other, volume.shape, strict=True)):
            found[place] = volume[place] == volume[other] and volume[place] > 0
    return found


@pytest.mark.parametrize("offsets", [NEAREST, LONG_RANGE, MUTEX])
def test_equals_the_definition_voxel_by_voxel(offsets: tuple[Offset, ...]) -> None:
    volume = labels()
    found = affinities(volume, offsets)
    assert found.polarity == "attractive"
    assert found.offsets == offsets
    for channel, offset in zip(found.values, offsets, strict=True):
        assert np.array_equal(channel, slow(volume, offset))


def test_an_asymmetric_phantom_tells_the_axes_and_their_signs_apart() -> None:
    """Two boxes that differ along every axis: a swapped axis or a turned offset moves the border."""
    volume = np.ones((4, 6, 8), int)
    volume[3:, 4:, 5:] = 2
    z, y, x = (np.argwhere(channel == 0) for channel in affinities(volume, NEAREST).values)
    assert z[(z[:, 0] > 0)].tolist() == [[3, y, x] for y in (4, 5) for x in (5, 6, 7)]
    assert y[(y[:, 1] > 0)].tolist() == [[3, 4, x] for x in (5, 6, 7)]
    assert x[(x[:, 2] > 0)].tolist() == [[3, y, 5] for y in (4, 5)]


def test_what_lies_outside_is_zero_and_never_known() -> None:
    volume = np.array([[[4, 4, 0]]])
    assert affinities(volume, NEAREST).values[1].ravel().tolist() == [0, 0, 0]
    assert partnered(NEAREST, volume >= 0)[2].ravel().tolist() == [False, True, True]
    assert not partnered([(0, 0, -5)], volume >= 0).any()


def test_affinities_of_unlabelled_voxels_are_unknown() -> None:
    known = np.array([[[True, True, False, True, True]]])
    assert partnered([(0, 0, -1)], known).ravel().tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("window", [(1, 3, 3), (3, 3, 3), (1, 1, 5)])
def test_widened_borders_are_windows_with_two_objects(window: tuple[int, int, int]) -> None:
    volume = np.repeat(np.repeat(labels(1, (4, 4, 4)), 3, axis=1), 3, axis=2)
    found = widen_border(volume, window)
    reach = [size // 2 for size in window]
    padded = np.pad(volume, [(each, each) for each in reach], mode="reflect")
    for place in product(*map(range, volume.shape)):
        part = padded[tuple(slice(a, a + size) for a, size in zip(place, window, strict=True))]
        several = len({*part.ravel().tolist()} - {0}) > 1
        assert found[place] == (0 if several else volume[place])


def test_widening_leaves_one_object_alone() -> None:
    volume = np.full((2, 5, 5), 9, np.uint16)
    assert np.array_equal(widen_border(volume), volume)
    assert widen_border(volume).dtype == np.uint16


@pytest.mark.parametrize(
    ("kind", "largest"), [(np.int32, 2**31 - 1), (np.uint16, 2**16 - 1), (np.int64, 2**53)]
)
def test_the_largest_id_of_a_type_is_an_object_like_any_other(kind: type[np.integer], largest: int) -> None:
    """One more than it would be less than nothing, and every voxel beside a gap a border."""
    plain = np.array([[[5, 5, 5, 0, 5, 5, 3, 3, 3, 0, 0]]])
    large = np.where(plain == 5, largest, plain).astype(kind)
    expected = np.where(plain == 5, large, plain) * np.array([1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0], kind)
    assert np.array_equal(widen_border(large), expected)
    assert not widen_border(np.zeros((1, 3, 3), kind)).any()
