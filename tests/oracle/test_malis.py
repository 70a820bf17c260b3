"""MALIS against every pair of voxels of a tiny volume, with the best of all paths between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morula.core.affinities import LONG_RANGE, NEAREST, Affinities
from morula.losses import Pairs, malis, malis_weights, maximin_pairs

SHAPE = (4, 4, 4)
seeds = st.integers(0, 10**6)


def scene(seed: int, offsets: tuple[tuple[int, int, int], ...] = NEAREST) -> tuple[Affinities, np.ndarray]:
    """Affinities of which no two are equal; objects in parts that touch or do not, none, and unlabelled."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 3, 3, 5, 5, 900], (2, 4, 2)).repeat(2, 0).repeat(2, 2)
    labels[rng.random(SHAPE) < 0.15] = rng.integers(-1, 3)
    size = len(offsets) * labels.size
    values = (rng.permutation(size) + 1.0) / (size + 1)
    return Affinities(values.reshape(len(offsets), *SHAPE), offsets), labels


def bottlenecks(given: Affinities, labels: np.ndarray, *, within: bool) -> dict[tuple[int, int], float]:
    """The weakest affinity of the best path between each two labelled voxels of one constrained graph."""
    places = list(product(*map(range, labels.shape)))
    number = {place: index for index, place in enumerate(places)}
    best = np.full((len(places), len(places)), -1.0)
    for offset, channel in zip(given.offsets, given.values, strict=True):
        for place in places:
            other = tuple(a + b for a, b in zip(place, offset, strict=True))
            if other not in number or labels[place] < 0 or labels[other] < 0:
                continue
            same = labels[place] == labels[other] > 0
            value = (channel[place] if same else 0.0) if within else (1.0 if same else channel[place])
            best[number[place], number[other]] = best[number[other], number[place]] = value
    for via in range(len(places)):
        best = np.maximum(best, np.minimum(best[:, via, None], best[None, via]))
    flat = labels.ravel()
    return {
        (a, b): float(best[a, b])
        for a, b in combinations(range(len(places)), 2)
        if flat[a] > 0 and flat[b] > 0 and (flat[a] == flat[b]) == within
    }


def slow(given: Affinities, labels: np.ndarray) -> Pairs:
    found: list[np.ndarray] = []
    for within in (True, False):
        limits = Counter(bottlenecks(given, labels, within=within).values())
        found.append(np.array([limits[value] for value in given.values.ravel()]).reshape(given.values.shape))
    return Pairs(*found)


@given(seed=seeds)
@settings(max_examples=25, deadline=None)
def test_each_affinity_counts_for_the_pairs_whose_best_path_it_limits(seed: int) -> None:
    predicted, labels = scene(seed)
    expected, found = slow(predicted, labels), maximin_pairs(predicted, labels)
    assert np.array_equal(found.joined, expected.joined)
    assert np.array_equal(found.parted, expected.parted)
    for weight, count in zip(malis_weights(predicted, labels), expected, strict=True):
        assert np.array_equal(weight, count / max(count.sum(), 1))


def test_the_scenes_have_pairs_of_both_kinds() -> None:
    """Otherwise the test above compares zeros."""
    found = [maximin_pairs(*scene(seed)) for seed in range(20)]
    assert min(each.joined.sum() for each in found) > 50
    assert min(each.parted.sum() for each in found) > 50
    assert max(each.joined.max() for each in found) > 10


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_names_of_objects_order_of_channels_and_polarity_do_not_matter(seed: int) -> None:
    predicted, labels = scene(seed)
    expected = maximin_pairs(predicted, labels)
    renamed = np.select([labels == 3, labels == 5, labels == 900], [900, 2**40, 3], labels)
    renamed[labels == 1] = 7
    renamed[labels == 2] = 5
    turned = Affinities(1 - predicted.values[::-1], NEAREST[::-1], "repulsive")
    for found in (maximin_pairs(predicted, renamed), [x[::-1] for x in maximin_pairs(turned, labels)]):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_row_by_hand() -> None:
    """Objects 1 1 | 2, none, 2: the edge beside "none" decides for the last voxel and the first two."""
    labels = np.array([[[1, 1, 2, 0, 2, -1, 2]]])
    row = np.array([0, 0.9, 0.4, 0.8, 0.3, 0.7, 0.6]).reshape(1, 1, 1, 7)
    found = maximin_pairs(Affinities(row, ((0, 0, -1),)), labels)
    assert found.joined.ravel().tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert found.parted.ravel().tolist() == [0, 0, 2, 0, 2, 0, 0]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_affinities_decide_about_every_pair_once(value: float) -> None:
    labels = np.ones(SHAPE, int)
    labels[2:] = 2
    found = maximin_pairs(Affinities(np.full((3, *SHAPE), value, np.float32), NEAREST), labels)
    assert found.joined.sum() == 2 * (32 * 31 // 2)
    assert found.parted.sum() == found.parted.max() == 32 * 32
    assert np.array_equal(found.joined, maximin_pairs(whole(value), labels).joined)


def whole(value: float) -> Affinities:
    """Whole numbers without a sign, as stored truths are."""
    return Affinities(np.full((3, *SHAPE), round(value), np.uint8), NEAREST)


def test_whole_numbers_are_ordered_as_others() -> None:
    predicted, labels = scene(4)
    bits = predicted.values > 0.5
    one, other = (Affinities(bits.astype(kind), NEAREST) for kind in (np.uint8, np.float64))
    assert np.array_equal(maximin_pairs(one, labels), maximin_pairs(other, labels))


def test_the_loss_is_the_squared_error_weighted_by_pairs() -> None:
    drawn = [scene(seed) for seed in (1, 2)]
    probability = torch.from_numpy(np.stack([each.values for each, _ in drawn])).requires_grad_(True)
    labels = torch.from_numpy(np.stack([each for _, each in drawn]))
    expected, gradients = 0.0, []
    for predicted, known in drawn:
        joined, parted = (each / max(each.sum(), 1) for each in slow(predicted, known))
        p = predicted.values
        expected += float((joined * (1 - p) ** 2 + parted * p**2).sum()) / 2
        gradients.append(joined * (p - 1) + parted * p)
    loss = malis(probability, labels, NEAREST)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert probability.grad is not None
    assert np.allclose(probability.grad.numpy(), np.stack(gradients), rtol=1e-12, atol=0)
    way = torch.from_numpy(np.random.default_rng(0).normal(size=probability.shape)) * 1e-5
    ahead, behind = (malis(probability.detach() + step, labels, NEAREST) for step in (way, -way))
    assert float(ahead - behind) == pytest.approx(2 * float((probability.grad * way).sum()), rel=1e-6)


def test_the_truth_loses_nothing_and_its_opposite_most() -> None:
    labels = np.ones(SHAPE, int)
    labels[:, 2:] = 2
    one, other = labels[:, 1:] == labels[:, :-1], np.ones(SHAPE, bool)
    truth = np.stack([other, np.pad(one, ((0, 0), (1, 0), (0, 0))), other]).astype(np.float32)
    given = torch.from_numpy(labels)[None]
    assert float(malis(torch.from_numpy(truth)[None], given, NEAREST)) == 0
    assert float(malis(torch.from_numpy(1 - truth)[None], given, NEAREST)) == pytest.approx(2)


@pytest.mark.parametrize("value", [-1, 0, 4])
def test_a_volume_without_a_pair_of_one_kind_is_no_error(value: int) -> None:
    probability = torch.full((1, 3, 2, 2, 2), 0.5, requires_grad=True)
    loss = malis(probability, torch.full((1, 2, 2, 2), value), NEAREST)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.25 if value > 0 else 0)


def test_what_does_not_fit_is_refused() -> None:
    predicted, labels = scene(0)
    far = replace(predicted, values=np.zeros((12, *SHAPE)), offsets=LONG_RANGE)
    with pytest.raises(ValueError, match=r"direct neighbours alone, not to \(-2, 0, 0\)"):
        maximin_pairs(far, labels)
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\) for affinities of \(4, 4, 4\)"):
        maximin_pairs(predicted, labels[:2])
    with pytest.raises(ValueError, match="2 volumes of labels for 1"):
        malis(torch.zeros(1, 3, *SHAPE), torch.zeros(2, *SHAPE), NEAREST)
