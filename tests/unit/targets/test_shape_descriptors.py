from __future__ import annotations

import numpy as np
import pytest

from morula.targets import DESCRIPTORS, shape_descriptors
from synthetic import neurites

SIGMA = (1.0, 2.0, 1.5)


def slowly(labels: np.ndarray, sigma: tuple[float, float, float], voxel: tuple[int, int, int]) -> np.ndarray:
    """The descriptors of one voxel by their definition, with the window cut at 3 sigma and normalised."""
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in labels.shape), indexing="ij"), axis=-1)
    window = np.ones(labels.shape)
    for axis, width in enumerate(sigma):
        reach = int(3 * width + 0.5)
        line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        line /= line.sum()
        away = grid[..., axis] - voxel[axis]
        window *= np.where(np.abs(away) <= reach, line[np.clip(away + reach, 0, 2 * reach)], 0)
    weight = window * (labels == labels[voxel])
    size = weight.sum()
    away = (grid - voxel) / np.array(sigma)
    mean = (weight[..., None] * away).sum(axis=(0, 1, 2)) / size
    spread = np.einsum("zyx,zyxa,zyxb->ab", weight, away - mean, away - mean) / size
    steady = np.sqrt(np.maximum(np.diag(spread), 1e-3))
    correlation = [spread[a, b] / (steady[a] * steady[b]) * 0.5 + 0.5 for a, b in ((0, 1), (0, 2), (1, 2))]
    return np.clip([*(mean * 0.5 + 0.5), *np.diag(spread), *correlation, size], 0, 1)


def test_they_equal_their_definition() -> None:
    _, labels = neurites(1, shape=(7, 14, 12), count=4)
    labels = np.where(np.random.default_rng(0).random(labels.shape) < 0.1, 0, labels)
    found = shape_descriptors(labels, SIGMA)
    assert found.shape == (DESCRIPTORS, *labels.shape)
    for voxel in [(0, 0, 0), (3, 7, 6), (6, 13, 11), (2, 1, 9), (5, 8, 2)]:
        if labels[voxel]:
            assert found[(slice(None), *voxel)] == pytest.approx(slowly(labels, SIGMA, voxel), abs=2e-5)
    assert not found[:, labels == 0].any()


def test_a_straight_neurite_is_long_in_its_direction_and_balanced_in_its_middle() -> None:
    labels = np.zeros((21, 21, 21), int)
    labels[9:12, 9:12, :] = 1
    _, _, _, tall, wide, long, *correlation, size = shape_descriptors(labels, (3.0, 3.0, 3.0))[:, 10, 10, 10]
    assert long > 4 * wide
    assert wide == pytest.approx(tall, abs=1e-6)
    assert correlation == pytest.approx([0.5] * 3, abs=1e-6)
    assert 0 < size < 0.5
    ends = shape_descriptors(labels, (3.0, 3.0, 3.0))[2, 10, 10, [0, 10, 20]]
    assert ends[0] > 0.7
    assert ends[1] == pytest.approx(0.5)
    assert ends[2] < 0.3


def test_numbers_do_not_matter_and_objects_that_touch_do_not_see_each_other() -> None:
    labels = np.ones((6, 12, 12), int)
    labels[:, 6:] = 2
    alone = np.where(labels == 1, 1, 0)
    both, other = shape_descriptors(labels, SIGMA), shape_descriptors(labels * 7, SIGMA)
    assert np.array_equal(both, other)
    assert np.allclose(both[:, labels == 1], shape_descriptors(alone, SIGMA)[:, labels == 1])


def test_what_nobody_labelled_is_no_object() -> None:
    labels = np.zeros((6, 12, 12), int)
    labels[:, 6:] = 2
    unlabelled = np.where(labels == 0, -1, labels)
    assert np.array_equal(shape_descriptors(unlabelled, SIGMA), shape_descriptors(labels, SIGMA))


@pytest.mark.parametrize("every", [(1, 2, 2), (2, 2, 2), (1, 4, 4)])
def test_measuring_at_fewer_voxels_is_nearly_the_same(every: tuple[int, int, int]) -> None:
    _, labels = neurites(2, shape=(15, 46, 50), count=6)
    whole = shape_descriptors(labels, (4.0, 8.0, 8.0))
    fewer = shape_descriptors(labels, (4.0, 8.0, 8.0), every=every)
    assert fewer.shape == whole.shape
    assert np.abs(fewer - whole).mean() < 0.05
    assert not fewer[:, labels == 0].any()
