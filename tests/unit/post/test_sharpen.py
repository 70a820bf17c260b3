"""Grey values move a border, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from morula.core.affinities import NEAREST, Affinities
from morula.post import sharpen

MEMBRANE, SHAPE = 9, (6, 8, 20)


def shifted(by: int) -> tuple[Affinities, np.ndarray]:
    """Affinities with a blurred border along x, and a dark membrane `by` voxels before it."""
    x = np.arange(SHAPE[2])
    values = np.ones((4, *SHAPE), np.float32)
    values[2] -= 0.9 * np.exp(-(((x - MEMBRANE - by) / 1.5) ** 2))
    values[3] = 0.3
    image = np.broadcast_to(np.where(x == MEMBRANE, 0.2, 0.7), SHAPE).astype(np.float32)
    return Affinities(values, (*NEAREST, (0, 0, -5))), image


@pytest.mark.parametrize("per_section", [True, False])
@pytest.mark.parametrize("by", [-1, 2])
def test_a_border_goes_to_the_darkest_voxels(by: int, per_section: bool) -> None:
    before, image = shifted(by)
    found = sharpen(before, image, per_section=per_section)
    border = MEMBRANE + by
    assert (before.values[2].argmin(-1) == border).all()
    assert set(np.unique(found.values[2].argmin(-1))) <= {MEMBRANE, MEMBRANE + 1}
    far = np.abs(np.arange(SHAPE[2]) - border) > 5
    assert np.allclose(found.values[2][..., far], before.values[2][..., far], atol=1e-3)
    assert np.array_equal(found.values[3], before.values[3])
    assert np.array_equal(found.values[0], before.values[0]) == per_section


def test_polarity_and_type_are_those_of_the_result() -> None:
    before, image = shifted(1)
    turned = Affinities(1 - before.values, before.offsets, "repulsive")
    found = sharpen(turned, image, per_section=False)
    assert found.polarity == "attractive"
    assert np.allclose(found.values, sharpen(before, image, per_section=False).values, atol=1e-6)
    small = Affinities(before.values.astype(np.float16), before.offsets)
    assert sharpen(small, image, per_section=False).values.dtype == np.float16
    with pytest.raises(KeyError):
        sharpen(Affinities(before.values[1:], before.offsets[1:]), image, per_section=False)


def test_flat_grey_says_nothing() -> None:
    """Beyond the tissue, or where the camera is saturated, the affinities stay as they are."""
    values = np.full((3, 4, 8, 8), 0.6, np.float32)
    for grey in (0.0, 0.5, 1.0):
        found = sharpen(Affinities(values, NEAREST), np.full((4, 8, 8), grey, np.float32), per_section=False)
        np.testing.assert_allclose(found.values, 0.6, atol=1e-6)
