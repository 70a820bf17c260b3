from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from morula.core.rng import Rng
from morula.core.types import Axes, Volume
from morula.recipes.psm.paper.fields import (
    at_least,
    blend,
    centre_crop,
    draws,
    field,
    random_window,
    rgb,
    tiles,
)


def volume(array: np.ndarray) -> Volume:
    channels = ("red", "green", "blue") if array.ndim == 3 else ("grey",)
    return Volume(array, Axes("cyx" if array.ndim == 3 else "yx"), "memory", channels=channels)


def test_eight_bit_colour_is_left_alone_and_grey_repeated() -> None:
    colour = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(rgb(colour), colour)
    grey = rgb(colour[..., :1])
    assert grey.shape == (3, 3, 3)
    np.testing.assert_array_equal(grey[..., 2], colour[..., 0])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_any_image_becomes_eight_bit_colour(channels: int, dtype: type) -> None:
    image = (np.random.default_rng(0).random((20, 18, channels)) * 200).astype(dtype)
    found = rgb(image)
    assert found.shape == (20, 18, 3)
    assert found.dtype == np.uint8


def test_sixteen_bits_are_stretched_to_the_whole_range() -> None:
    image = np.linspace(1000, 3000, 400).reshape(20, 20, 1).astype(np.uint16)
    assert (rgb(image).min(), rgb(image).max()) == (0, 255)


def test_the_centre_crop_of_the_published_images() -> None:
    rows = np.arange(1000)[:, None] * np.ones((1, 1000))
    crop = centre_crop(rows, 512)
    assert (crop[0, 0], crop[-1, 0]) == (244, 755)


def test_small_images_are_reflected_even_several_times() -> None:
    image = np.arange(4)[:, None] * np.ones((1, 4))
    np.testing.assert_array_equal(at_least(image, 10, 4)[:, 0], [0, 1, 2, 3, 2, 1, 0, 1, 2, 3])
    assert at_least(np.zeros((16, 200, 3)), 64, 64).shape == (64, 200, 3)


def test_the_field_is_the_centre_or_the_whole() -> None:
    image = volume(np.zeros((3, 100, 40), np.uint8))
    assert field(image, 64, whole=False).shape == (64, 64, 3)
    assert field(image, 64, whole=True).shape == (100, 64, 3)


@pytest.mark.parametrize(("side", "overlap"), [(64, 0), (65, 0), (128, 16), (200, 16), (301, 32)])
def test_tiles_cover_every_pixel_and_overlap(side: int, overlap: int) -> None:
    count = np.zeros((side, 64), int)
    starts = []
    for rows, columns in tiles(count.shape, 64, overlap):
        count[rows, columns] += 1
        starts.append(rows.start)
    assert count.min() == 1
    assert all(b - a <= 64 - overlap for a, b in pairwise(starts))


def test_blending_what_is_seen_gives_back_the_image() -> None:
    image = np.random.default_rng(0).random((150, 97, 3)).astype(np.float32)
    np.testing.assert_allclose(blend(image, 64, 16, lambda tile: tile[..., 0]), image[..., 0], rtol=1e-6)


def test_random_windows_lie_inside_and_depend_on_the_generator_alone() -> None:
    found = [random_window((70, 64), 64, np.random.default_rng(i)) for i in range(50)]
    assert {rows.start for rows, _ in found} == set(range(7))
    assert {columns.start for _, columns in found} == {0}


def test_the_published_folds_of_thirty_images() -> None:
    plan = draws(30, 1, Rng(0), epochs=10, steps=None, folds=True)
    sizes = [sum(epoch == e for epoch, _ in plan) for e in range(10)]
    assert sizes == [26, 26, 26, 26, 26, 26, 26, 28, 30, 30]
    left_out = set(range(30)) - {image for epoch, images in plan if epoch == 1 for image in images}
    assert left_out == {4, 5, 6, 7}


def test_an_epoch_sees_each_image_once() -> None:
    plan = draws(10, 4, Rng(3), epochs=2, steps=None)
    assert [len(images) for _, images in plan] == [4, 4, 2, 4, 4, 2]
    assert sorted(i for epoch, images in plan if epoch == 0 for i in images) == list(range(10))


def test_a_short_last_step_can_be_filled_up() -> None:
    plan = draws(5, 4, Rng(3), epochs=1, steps=None, fill=True)
    first, last = (list(images) for _, images in plan)
    assert last[1:] == first[:3]
    one = draws(2, 2, Rng(0), epochs=1, steps=1, folds=True, fill=True)[0][1]
    assert list(one) == [1, 1]


def test_steps_cut_or_repeat_epochs() -> None:
    assert draws(3, 1, Rng(0), epochs=1, steps=0) == []
    assert len(draws(3, 2, Rng(0), epochs=1, steps=7)) == 7
    assert len(draws(1, 1, Rng(0), epochs=1, steps=5, folds=True)) == 5
