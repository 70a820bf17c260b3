from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morula.core.types import Axes, Volume, Voxel
from morula.engine import launch
from morula.metrics import iou
from morula.recipes.emda import decode
from morula.recipes.emda.decode import Cleaning, probability, restore, segmentation, tune_cleaning
from morula.recipes.emda.recipe import EmdaPredictor
from synthetic import em_stack

CPU = torch.device("cpu")


def lopsided(image: torch.Tensor) -> torch.Tensor:
    """Looks up and to the left, so that it is not equivariant by itself."""
    kernel = torch.tensor([[1.0, 2, 0], [3, 1, 0], [0, 0, 0]])[None, None]
    return F.conv2d(image, kernel, padding=1) - 2


def test_eight_views_make_any_segmenter_equivariant():
    stack = np.random.default_rng(0).integers(0, 255, (1, 64, 64), dtype=np.uint8)
    turned = np.rot90(stack, 1, axes=(1, 2))[:, :, ::-1]
    one, other = (probability(lopsided, each.copy(), CPU, augment=True) for each in (stack, turned))
    assert np.allclose(np.rot90(one, 1, axes=(1, 2))[:, :, ::-1], other, atol=1e-6)
    bare = probability(lopsided, stack, CPU, augment=False)
    assert not np.allclose(bare, one, atol=1e-3)


def test_tiles_agree_with_the_whole(monkeypatch):
    stack = em_stack(0, sections=1, size=150)[0]
    whole = probability(lopsided, stack, CPU, augment=False)
    monkeypatch.setattr(decode, "_TILE", 64)
    monkeypatch.setattr(decode, "_OVERLAP", 16)
    tiled = probability(lopsided, stack, CPU, augment=False)
    assert np.abs(tiled - whole)[:, 2:-2, 2:-2].max() < 0.05


def test_maps_return_to_the_stored_size():
    maps = np.zeros((2, 40, 30), np.float32)
    maps[:, 10:20, 10:20] = 1
    large = restore(maps, (2, 80, 60))
    assert large.shape == (2, 80, 60)
    assert np.array_equal(large > 0.5, restore(maps, (2, 40, 30)).repeat(2, 1).repeat(2, 2) > 0.5)


def test_objects_are_numbered_in_three_dimensions_and_scored():
    maps = np.zeros((3, 40, 40), np.float32)
    maps[:, 5:15, 5:15] = 0.9
    maps[1:, 25:35, 25:35] = 0.7
    maps[0, 38, 38] = 0.8
    found = segmentation(maps, (3, 40, 40), Cleaning(smallest=10))
    assert found.labels.max() == 2
    assert found.scores == pytest.approx([0.9, 0.7])
    assert segmentation(maps[:1], (40, 40), Cleaning()).labels.shape == (40, 40)


def test_cleaning_is_tuned_to_the_source():
    truth = em_stack(0, sections=4)[1]
    rng = np.random.default_rng(0)
    noisy = truth.astype(np.float32)
    for z, y, x in zip(rng.integers(4, size=60), *rng.integers(2, 124, (2, 60)), strict=True):
        noisy[z, y : y + 3, x : x + 3] = 1
    cleaning = tune_cleaning([noisy], [truth])
    assert cleaning.smallest > 9 or cleaning.window > 1
    cleaned = segmentation(noisy, truth.shape, cleaning).labels
    assert iou(cleaned, truth) > iou(noisy > 0.5, truth)
    assert tune_cleaning([truth.astype(np.float32)], [truth]) == Cleaning()


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (5.0, 45.0, Cleaning(10, 1, 45.0)),
        (45.0, 5.0, Cleaning(810, 3, 5.0)),
        (40.0, 50.0, Cleaning(72, 3, 50.0)),
        (30.0, 60.0, Cleaning(45, 1, 60.0)),
        (None, 45.0, Cleaning(90, 3, None)),
        (5.0, None, Cleaning(90, 3, 5.0)),
    ],
)
def test_the_least_object_is_as_large_in_deeper_sections(
    ours: float | None, theirs: float | None, expected: Cleaning
) -> None:
    assert Cleaning(90, 3, ours).at(theirs) == expected


def test_prediction_cleans_by_the_depth_of_its_own_sections() -> None:
    network = nn.Conv2d(1, 1, 1)
    nn.init.constant_(network.weight, 100)
    nn.init.constant_(network.bias, -50)
    image = np.zeros((4, 64, 64), np.uint8)
    image[1, 20:30, 20:30] = 255
    tuned = Cleaning(smallest=400, window=3, depth_nm=5.0)
    predictor = EmdaPredictor(network, lambda _: 1.0, tuned, launch("cpu", "32-true"), views=False)

    def volume(depth: float | None) -> Volume:
        return Volume(image, Axes("zyx"), "v", voxel=depth and Voxel(z=depth, y=8, x=8))

    assert predictor(volume(45.0)).labels.max() == 1
    assert predictor(volume(5.0)).labels.max() == predictor(volume(None)).labels.max() == 0
    assert predictor.blocks(volume(45.0)).decode.cleaning == tuned.at(45.0)
