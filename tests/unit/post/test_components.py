import numpy as np
import pytest
from scipy import ndimage as ndi

from morula.post import clean, components, fill_holes, remove_small, z_median


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).random((6, 24, 30)) < 0.2


@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
def test_the_same_components_as_scipy(noise: np.ndarray, connectivity: int, rank: int) -> None:
    found = components(noise, connectivity=connectivity)
    expected, count = ndi.label(noise, ndi.generate_binary_structure(3, rank))
    assert found.dtype == np.int32
    assert len(np.unique(np.stack([found, expected]).reshape(2, -1), axis=1).T) == count + 1
    assert found.max() == count


def test_nothing_and_everything() -> None:
    assert components(np.zeros((2, 3, 4))).max() == 0
    assert (components(np.full((2, 3, 4), 7)) == 1).all()
    assert not clean(np.zeros((2, 3, 4)), window=3, smallest=5).any()
    assert clean(np.ones((2, 3, 4)), window=3, smallest=5).all()


def test_small_objects_go_by_their_volume() -> None:
    mask = np.zeros((3, 10, 10), bool)
    mask[:, 1:3, 1:3] = mask[1, 6:9, 6:9] = True  # 12 and 9 voxels
    assert remove_small(mask, 9).sum() == 21
    assert remove_small(mask, 10).sum() == 12
    assert remove_small(mask, 13).sum() == 0
    assert remove_small(mask, 9.5).sum() == 12


@pytest.mark.parametrize("window", [1, 3, 5])
def test_the_median_of_a_mask_is_that_of_its_numbers(noise: np.ndarray, window: int) -> None:
    expected = z_median(noise.astype(float), window)
    assert np.array_equal(z_median(noise, window), expected > 0.5)
    inner = slice(window // 2, len(noise) - window // 2)
    views = np.lib.stride_tricks.sliding_window_view(noise, window, axis=0)
    assert np.array_equal(expected[inner], np.median(views, axis=-1))


def test_the_median_drops_what_one_section_shows_and_closes_its_gaps() -> None:
    mask = np.zeros((5, 4, 4), bool)
    mask[2, 0, 0] = mask[:, 2, 2] = True
    mask[2, 2, 2] = False
    assert np.argwhere(z_median(mask, 3)).tolist() == [[z, 2, 2] for z in range(5)]


@pytest.mark.parametrize("window", [0, 2, -1])
def test_the_median_needs_a_middle(window: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        z_median(np.zeros((2, 2, 2), bool), window)


def test_holes_are_filled_within_a_section_only() -> None:
    mask = np.zeros((3, 7, 7), bool)
    mask[:, 1:6, 1:6] = True
    mask[:, 3, 3] = False  # a tunnel: open in 3D, closed in each section
    mask[0, 0, 3] = mask[0, 1, 3] = False
    filled = fill_holes(mask)
    assert filled[:, 3, 3].all()
    assert not filled[0, 1, 3]


def test_cleaning_goes_in_order() -> None:
    mask = np.zeros((5, 12, 12), bool)
    mask[:, 2:9, 2:9] = True
    mask[1:4, 5, 5] = False
    mask[2, 2:9, 2:9] = False  # a lost section
    mask[3, 11, 11] = True  # a speck
    expected = np.zeros_like(mask)
    expected[:, 2:9, 2:9] = True
    assert np.array_equal(clean(mask, window=3, smallest=50), expected)


@pytest.mark.parametrize("axis", range(3))
def test_a_line_of_voxels(axis):
    mask = np.array([1, 0, 1, 1, 0, 1])
    assert components(np.moveaxis(mask[None, None], 2, axis)).ravel().tolist() == [1, 0, 2, 2, 0, 3]
