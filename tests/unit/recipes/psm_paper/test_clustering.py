from __future__ import annotations

import warnings

import numpy as np
import pytest
from skimage.morphology import remove_small_objects

from morula.recipes.psm.paper.clustering import (
    clean,
    flip_to_stain,
    fuse,
    jet,
    kmeans,
    nearest,
    nuclei_first,
    stain,
)


def test_jet_runs_from_blue_over_green_to_red() -> None:
    np.testing.assert_allclose(
        jet(np.array([64 / 255, 0.5, 191.5 / 255])).round(1)[:, 1], [0.5, 1.0, 0.5], atol=0.01
    )
    assert jet(np.array([0.5])).argmax() == 1
    assert jet(np.array([0.9])).argmax() == 0
    assert jet(np.array([0.1])).argmax() == 2


def test_jet_has_256_levels() -> None:
    np.testing.assert_array_equal(jet(np.array([100 / 255 + 1e-4])), jet(np.array([100.9 / 255])))
    assert (jet(np.array([100 / 255 + 1e-4])) != jet(np.array([101.1 / 255]))).any()


def test_the_published_fusion_adds_blue_to_red() -> None:
    image = np.array([[[10, 20, 30]]], np.uint8)
    cold = np.zeros((1, 1))  # JET: half blue
    np.testing.assert_allclose(fuse(cold, image, 1.0, bgr=True), [[[137.5, 20, 30]]])
    np.testing.assert_allclose(fuse(cold, image, 2.0, bgr=False), [[[20, 40, 187.5]]])


def test_kmeans_finds_separate_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([[0, 0, 0], [100, 0, 0], [0, 100, 100]])
    points = np.concatenate([rng.normal(group, 2, (50, 3)) for group in groups])
    centres = kmeans(points, 3, rng, attempts=10, iterations=20, eps=0.5)
    order = nearest(groups.astype(float), centres)
    np.testing.assert_allclose(centres[order], groups, atol=1.5)
    assert len(set(order.tolist())) == 3


def test_kmeans_is_no_worse_than_scipys() -> None:
    from scipy.cluster.vq import kmeans as reference

    points = np.random.default_rng(0).random((400, 3)) * 255
    _, distortion = reference(points, 4, iter=20, rng=0)
    centres = kmeans(points, 4, np.random.default_rng(0), attempts=20, iterations=100, eps=0.0)
    found = np.mean([min(np.linalg.norm(p - c) for c in centres) for p in points])
    assert found < 1.02 * distortion


def test_kmeans_repeats_and_survives_fewer_colours_than_clusters() -> None:
    points = np.repeat([[5.0, 5.0, 5.0], [9.0, 9.0, 9.0]], 10, axis=0)
    first, second = (
        kmeans(points, 3, np.random.default_rng(7), attempts=2, iterations=5, eps=0.5) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()
    flat = kmeans(np.full((20, 3), 4.0), 3, np.random.default_rng(0), attempts=2, iterations=5, eps=0.5)
    assert np.isfinite(flat).all()


def test_the_published_rule_takes_the_least_of_channels_0_and_1() -> None:
    assign = np.array([[0, 1, 2]])
    fused = np.array([[[200.0, 10.0, 0.0], [90.0, 90.0, 255.0], [50.0, 150.0, 0.0]]])
    np.testing.assert_array_equal(nuclei_first(assign, fused, None), [[0, 1, 2]])
    fused[0, 2] = 0
    np.testing.assert_array_equal(nuclei_first(assign, fused, None), [[0, 2, 1]])


def test_the_other_rule_takes_the_most_stain() -> None:
    assign = np.array([[0, 0, 2]])
    found = nuclei_first(assign, np.zeros((1, 3, 3)), np.array([[9.0, 5.0, 0.0]]))
    np.testing.assert_array_equal(found, [[1, 1, 2]])
    np.testing.assert_array_equal(nuclei_first(np.zeros((2, 2), int), np.zeros((2, 2, 3)), None), 1)


def test_a_map_against_the_stain_is_flipped_and_another_is_not() -> None:
    stained = np.array([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(flip_to_stain(stained / 3, stained), stained / 3)
    np.testing.assert_allclose(flip_to_stain(1 - stained / 3, stained), stained / 3, atol=1e-12)
    np.testing.assert_array_equal(flip_to_stain(np.full((2, 2), 0.5), stained), 0.5)


def tissue(background: tuple[int, int, int], nucleus: tuple[int, int, int]) -> np.ndarray:
    image = np.empty((32, 32, 3), np.uint8)
    image[:] = background
    image[8:16, 8:16] = nucleus
    return image


@pytest.mark.parametrize(
    ("background", "nucleus"),
    [((240, 210, 225), (90, 60, 140)), ((0, 0, 0), (200, 200, 200)), ((230, 230, 230), (120, 120, 120))],
    ids=["H&E", "fluorescence", "brightfield"],
)
def test_nuclei_have_the_most_stain_in_every_modality(background, nucleus) -> None:
    found = stain(tissue(background, nucleus))
    assert found[8:16, 8:16].min() > found[20:].max()


def spots() -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    mask[2:5, 2:5] = True  # 9 pixels
    mask[10:30, 10:30] = True  # 400 pixels
    mask[15:17, 15:17] = False  # a hole of 4
    return mask


def test_small_objects_go_and_small_holes_are_filled() -> None:
    found = clean(spots(), 200, 64, noop=False)
    assert not found[:8].any()
    assert found.sum() == 400


def test_the_published_filter_drops_nothing_unless_all_is_small() -> None:
    found = clean(spots(), 200, 64, noop=True)
    assert found.sum() == 409
    assert not clean(spots(), 500, 64, noop=True).any()


@pytest.mark.parametrize("noop", [False, True])
def test_the_filters_against_scikit_image(noop: bool) -> None:
    mask = np.random.default_rng(0).random((60, 60)) > 0.55
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = remove_small_objects(mask.astype(int) if noop else mask, max_size=19).astype(bool)
        wanted = ~remove_small_objects(~wanted, max_size=5)
    np.testing.assert_array_equal(clean(mask, 20, 6, noop=noop), wanted)
