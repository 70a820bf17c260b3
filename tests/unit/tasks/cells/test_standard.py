"""What a network sees of an image, as a whole and in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morula.core.rng import Rng
from morula.core.types import Array
from morula.tasks.cells.density import density
from morula.tasks.cells.standard import Standard, middles, standard_of


def phase_contrast() -> Array:
    """A bright and a dark rim on grey, `(260, 300, 1)`, of the same strength."""
    y, x = np.mgrid[:260, :300]
    grey = 110 + Rng(2).at(0).normal(0, 3, y.shape)
    for sign, centre in ((1, (80, 90)), (-1, (170, 210))):
        away = np.hypot((y - centre[0]) / 20, (x - centre[1]) / 34)
        grey += sign * 60 * np.exp(-((away - 1) ** 2) / 0.02)
    return np.clip(grey, 0, 255).astype(np.uint8)[..., None]


@pytest.fixture
def common() -> Standard:
    found = standard_of(phase_contrast(), {}, 22.0, (50.0, 10))
    assert found.modality == "phase contrast" and found.factor < 0.5
    return found


def test_in_phase_contrast_dark_and_bright_differ_in_the_relief_alone(common: Standard) -> None:
    image = replace(common, signed=True).whole(phase_contrast())
    assert np.array_equal(image.density, common.whole(phase_contrast()).density)
    rims = [(80, 56), (80, 124), (170, 176), (170, 244)]
    places = [tuple(round(at * common.factor) for at in rim) for rim in rims]
    bright, dark = (np.array([image.colour[place][0] for place in some]) for some in (places[:2], places[2:]))
    assert bright.min() > 0.5 and dark.max() < -0.5
    level = np.array([image.density[place] for place in places])
    assert level.std() < 0.1 * level.mean()


def test_a_part_is_that_part_of_the_whole(common: Standard) -> None:
    signed, image = replace(common, signed=True), phase_contrast()
    box = (slice(20, 70), slice(31, 90))
    whole, part = signed.whole(image), signed.part(image, box)
    assert np.allclose(part.network_input, whole.network_input[:, *box], atol=2e-3)


def test_what_would_not_fit_into_memory_is_cut_to_its_middle() -> None:
    image = np.arange(40 * 60).reshape(40, 60, 1)
    kept = middles([image, image], [None, (11.0, 5)], 22.0, most=40 * 60)  # the second is enlarged by two
    assert [part.shape for part in kept] == [(17, 26, 1)] * 2
    assert kept[0][9, 13, 0] == image[20, 30, 0]
    assert middles([image], [None], 22.0, most=40 * 60)[0].shape == image.shape


def test_bright_field_in_floats_is_as_dense_as_in_whole_numbers() -> None:
    whole = np.full((64, 64, 1), 200, np.uint8)
    whole[20:40, 20:40] = 150
    whole[45:50, 45:50] = 30
    dense = [density(image, "brightfield") for image in (whole, whole.astype(np.float32) / 255)]
    np.testing.assert_allclose(dense[1], dense[0], atol=0.02)
