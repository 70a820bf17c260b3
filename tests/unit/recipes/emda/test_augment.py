from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi

from morula.core.rng import Rng
from morula.recipes.emda.augment import PAPER, Geometry, Grey, recolour, warp
from morula.recipes.emda.crops import GEOMETRY, GREY
from morula.recipes.emda.losses import IGNORE

STILL = Geometry(flips=False, turns=False)
RNG = Rng(0, "augment")


def blobs(batch: int = 2, side: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth bright blobs on dark ground, whose mask is where they are bright."""
    noise = Rng(seed, "blobs").at(0).normal(size=(batch, side, side))
    smooth = ndi.gaussian_filter(noise, (0, 6, 6))
    image = (smooth - smooth.min()) / np.ptp(smooth)
    return image[:, None].astype(np.float32), (image > 0.6).astype(np.uint8)


def fixed(scale: float = 1.0, rotation: float = 0.0, soft: bool = False) -> Geometry:
    return replace(STILL, scale=(scale, scale), rotation=rotation, soft_labels=soft)


def test_nothing_random_leaves_the_middle_as_it_was() -> None:
    image, label = blobs()
    for geometry in (replace(STILL, probability=0.0), STILL):
        warped, mask = warp(image, label, RNG.at(0), size=64, geometry=geometry)
        np.testing.assert_allclose(warped, image[:, :, 16:80, 16:80], atol=1e-6)
        np.testing.assert_array_equal(mask, label[:, 16:80, 16:80])


def test_flips_and_turns_give_all_eight_views_without_touching_a_pixel() -> None:
    image, label = blobs(1, 8)
    views = {np.rot90(v, k, (1, 2)).tobytes() for v in (image[0], image[0, :, ::-1]) for k in range(4)}
    found = set()
    for index in range(100):
        warped, mask = warp(image, label, RNG.at(index), size=8, geometry=Geometry(probability=0.0))
        found.add(warped[0].tobytes())
        np.testing.assert_array_equal(mask, (warped[:, 0] > 0.6))
    assert found == views
    assert len(views) == 8


@pytest.mark.parametrize("geometry", [fixed(rotation=180.0), fixed(1.5), GEOMETRY])
def test_image_and_label_move_together(geometry: Geometry) -> None:
    image, label = blobs(4)
    warped, mask = warp(image, label, RNG.at(1), size=64, geometry=geometry)
    agree = mask == (warped[:, 0] > 0.6)
    assert agree.mean() > 0.97
    still = label[:, 16:80, 16:80]
    assert (mask != still).mean() > 0.05


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scale_is_the_magnification(scale: float) -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    disc = (np.hypot(y, x) < 12)[None].astype(np.uint8)
    _, mask = warp(disc[:, None].astype(np.float32), disc, RNG.at(0), size=64, geometry=fixed(scale))
    assert mask.sum() == pytest.approx(np.pi * 12**2 * scale**2, rel=0.05)


def test_shrinking_does_not_alias() -> None:
    image = np.indices((128, 128)).sum(0)[None, None] % 2
    label = np.zeros((1, 128, 128), np.uint8)
    warped, _ = warp(image.astype(np.float32), label, RNG.at(0), size=60, geometry=fixed(0.55))
    assert float(np.ptp(warped)) < 0.35


def test_the_border_is_reflected() -> None:
    image, label = blobs(1, 32)
    warped, _ = warp(image, label, RNG.at(0), size=32, geometry=fixed(0.8))
    large = np.pad(image, ((0, 0), (0, 0), (8, 8), (8, 8)), mode="symmetric")
    expected, _ = warp(large, np.zeros((1, 48, 48), np.uint8), RNG.at(0), size=32, geometry=fixed(0.8))
    np.testing.assert_allclose(warped, expected, atol=0.02)


def test_hard_labels_keep_their_values_and_soft_ones_lie_between() -> None:
    image, label = blobs()
    label[:, :30] = IGNORE
    _, hard = warp(image, label, RNG.at(2), size=64, geometry=fixed(1.2, 45.0))
    _, soft = warp(image, label, RNG.at(2), size=64, geometry=fixed(1.2, 45.0, soft=True))
    assert (hard.dtype, soft.dtype) == (np.uint8, np.float32)
    assert set(np.unique(hard)) == {0, 1, IGNORE}
    counts = soft <= 1
    assert bool((soft[~counts] == IGNORE).all())
    assert bool(((soft > 0.1) & (soft < 0.9)).any())
    assert (hard[counts] == (soft[counts] > 0.5)).mean() > 0.99
    assert ((hard == IGNORE) == ~counts).mean() > 0.98


def test_the_papers_geometry_rotates_freely_and_keeps_the_scale() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    image = (np.hypot(y - 20, x) < 8)[None].astype(np.uint8)
    places = []
    for index in range(24):
        _, mask = warp(image[:, None].astype(np.float32), image, RNG.at(index), size=96, geometry=PAPER)
        assert mask.sum() == pytest.approx(image.sum(), rel=0.05)
        places.append(np.array(ndi.center_of_mass(mask[0])) - 47.5)
    np.testing.assert_allclose(np.hypot(*np.transpose(places)), 20, atol=0.5)
    angles = np.sort(np.arctan2(*np.transpose(places)))
    assert np.diff(angles).max() < 1.5


def test_grey_values_change_within_0_and_1_and_differ_between_images() -> None:
    image = np.repeat(blobs(1)[0], 6, axis=0)
    changed = recolour(image, RNG.at(0), GREY)
    assert changed.dtype == np.float32
    assert changed.shape == image.shape
    assert 0 <= changed.min() < changed.max() <= 1
    assert len({view.tobytes() for view in changed}) == 6


def test_no_grey_change_is_none() -> None:
    image, _ = blobs()
    np.testing.assert_allclose(recolour(image, RNG.at(0), Grey()), image, atol=1e-6)
    np.testing.assert_array_equal(recolour(image, RNG.at(0), replace(GREY, probability=0.0)), image)


def certainly(**change: float) -> Grey:
    return Grey(probability=2.0, **change)


def test_contrast_and_brightness_keep_the_order_of_pixels() -> None:
    image, _ = blobs(8)
    changed = recolour(image, RNG.at(0), certainly(contrast=0.4, brightness=0.15, gamma=0.5))
    means = [float(view.mean()) for view in changed - image]
    assert np.ptp(means) > 0.05
    for before, after in zip(image, changed, strict=True):
        assert bool((np.diff(after.ravel()[np.argsort(before.ravel())]) >= 0).all())


def test_noise_has_the_asked_for_strength() -> None:
    image = np.full((64, 1, 32, 32), 0.5, np.float32)
    gaussian = recolour(image, RNG.at(0), certainly(gaussian=0.1)).std(axis=(1, 2, 3))
    assert (gaussian.min(), gaussian.max()) == (pytest.approx(0, abs=0.01), pytest.approx(0.1, abs=0.01))


def test_blur_smooths() -> None:
    image = Rng(0).at(0).random((4, 1, 32, 32)).astype(np.float32)
    blurred = recolour(image, RNG.at(0), certainly(blur=2.0))
    ratio = blurred.std(axis=(1, 2, 3)) / image.std(axis=(1, 2, 3))
    assert ratio.max() < 0.98
    assert ratio.min() < 0.3


def test_cutouts_are_flat_rectangles_in_all_sections() -> None:
    image = Rng(0).at(0).random((1, 3, 64, 64)).astype(np.float32)
    changed = recolour(image, RNG.at(0), certainly(cutout=0.3))[0]
    cut = ~np.isclose(changed, image[0], atol=1e-6)
    assert 0 < cut.mean() < 3 * 0.3**2
    assert (cut[0] == cut[1]).mean() > 0.999
    assert len(np.unique(changed[0][cut[0]])) == 1


def test_views_share_their_geometry_if_recoloured_after_it() -> None:
    image, label = blobs()
    warped, _ = warp(image, label, RNG.at(0), size=64, geometry=GEOMETRY)
    draw = RNG.child("student").at(0)
    first, second = (recolour(warped, draw, certainly(brightness=0.1)) for _ in range(2))
    inside = (first > 0) & (first < 1) & (second > 0) & (second < 1)
    offset = np.where(inside, first - second, np.nan)
    assert float(np.nanmax(np.nanstd(offset, axis=(1, 2, 3)))) < 1e-5


def test_images_that_are_too_small_or_do_not_match_are_refused() -> None:
    image, label = blobs(1, 40)
    with pytest.raises(ValueError, match="at least 64 pixels wide and high, not 40 x 40"):
        warp(image, label, RNG.at(0), size=64, geometry=PAPER)
    with pytest.raises(ValueError, match="do not go together"):
        warp(image, label[:, 1:], RNG.at(0), size=32, geometry=PAPER)
