"""Errors of dense segmentations against CREMI's reference values, scikit-image and brute force."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error
from skimage.metrics import variation_of_information as reference_voi

from morula.metrics import (
    Overlap,
    adapted_rand,
    ignore_border,
    neuron_scores,
    neuron_scores_of,
    variation_of_information,
)

labels = arrays(np.int64, (3, 4, 5), elements=st.integers(0, 4))
annotated = labels.filter(lambda each: (each > 0).sum() > 1)


@pytest.mark.real
def test_reference_values_of_cremi(real_data: Path) -> None:
    folder = real_data / "metric_cases" / "open"
    cases = json.loads((folder / "em_voi" / "expected.json").read_text())
    assert len(cases) > 4
    for case in cases:
        truth, pred = (
            tifffile.imread(real_data / name[2:] if name.startswith("@/") else folder / name)
            for name in (case["gt"], case["seg"])
        )
        expected = case["expected"]["cremi_python"]
        voi, rand = variation_of_information(pred, truth), adapted_rand(pred, truth)
        assert voi.split == pytest.approx(expected["voi_split"], abs=1e-6)
        assert voi.merge == pytest.approx(expected["voi_merge"], abs=1e-6)
        assert rand.error == pytest.approx(expected["adapted_rand_error"], abs=1e-6)
        assert rand.precision == pytest.approx(expected["rand_precision"], abs=1e-6)
        assert rand.recall == pytest.approx(expected["rand_recall"], abs=1e-6)
        theirs = case["expected"]["skimage"]["adapted_rand_error_prec_rec_as_returned"]
        assert adapted_rand(pred, truth, variant="scikit-image").error == pytest.approx(theirs[0], abs=1e-6)


@given(pred=labels, truth=annotated)
def test_equals_scikit_image(pred: np.ndarray, truth: np.ndarray) -> None:
    split, merge = reference_voi(truth, pred, ignore_labels=(0,))
    found = variation_of_information(pred, truth)
    assert (found.split, found.merge) == (pytest.approx(split, abs=1e-9), pytest.approx(merge, abs=1e-9))


@given(pred=labels, truth=annotated)
def test_rand_counts_pairs_of_voxels(pred: np.ndarray, truth: np.ndarray) -> None:
    inside = truth > 0
    pairs = [
        (a == b, c == d) for (a, c), (b, d) in combinations(zip(truth[inside], pred[inside], strict=True), 2)
    ]
    both = sum(one and other for one, other in pairs)
    joined, merged = sum(one for one, _ in pairs), sum(other for _, other in pairs)
    found = adapted_rand(pred, truth, variant="scikit-image")
    assert neuron_scores(pred, truth)["are_skimage"] == found.error
    assert found.recall == pytest.approx(both / joined if joined else 1.0)
    assert found.precision == pytest.approx(both / merged if merged else 1.0)
    if joined and merged and both:
        error, recall, precision = adapted_rand_error(truth, pred, ignore_labels=(0,))
        assert found == pytest.approx((error, precision, recall))


@given(pred=labels, truth=annotated)
def test_cremi_takes_background_as_single_voxels_of_the_whole_size(
    pred: np.ndarray, truth: np.ndarray
) -> None:
    table = np.zeros((5, 5))
    np.add.at(table, (truth.ravel(), pred.ravel()), 1)
    uncovered, size = table[1:, 0].sum(), truth.size
    one = (table[1:].sum(axis=1) ** 2).sum()
    other = (table[1:, 1:].sum(axis=0) ** 2).sum() + uncovered / size
    both = (table[1:, 1:] ** 2).sum() + uncovered / size
    found = adapted_rand(pred, truth)
    assert found.precision == pytest.approx(both / other)
    assert found.recall == pytest.approx(both / one)
    assert found.error == pytest.approx(1 - 2 * both / (one + other))


def test_corner_cases_are_what_the_definitions_say() -> None:
    truth = np.array([[[1, 1, 2, 2, 2, 3, 3, 3]]])
    assert neuron_scores(truth + 4, truth)["voi"] == 0
    assert neuron_scores(truth, truth)["are"] == 0
    shares = np.array([2, 3, 3]) / 8
    whole = variation_of_information(np.ones_like(truth), truth)
    assert whole.split == 0
    assert whole.merge == pytest.approx(-(shares * np.log2(shares)).sum())
    assert variation_of_information(np.arange(1, 9).reshape(truth.shape), truth).merge == 0
    nothing = neuron_scores(truth, np.zeros_like(truth))
    assert (nothing["voi"], nothing["are"]) == (0, 0)


@pytest.mark.parametrize("seed", range(9))
def test_a_perfect_segmentation_of_a_large_volume_has_no_error(seed: int) -> None:
    """Squares beyond 2^53 are rounded, and their sum depends on the order."""
    rng, count = np.random.default_rng(seed), 50
    areas, order = rng.integers(1, 10**9, count), rng.permutation(count)
    ids, turned = np.arange(count), np.argsort(order)
    table = Overlap(ids + 1, ids + 1, areas, areas[order], ids, turned, areas, int(areas.sum()))
    found = neuron_scores_of(table)
    assert found["are"] == pytest.approx(0, abs=1e-9) and found["are"] >= 0
    assert found["cremi"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", [0, 1, 1.5])
def test_borders_are_left_out_by_distance_in_their_section(distance: float) -> None:
    truth = np.random.default_rng(0).integers(1, 3, (2, 3, 3)).repeat(5, axis=1).repeat(5, axis=2)
    found = ignore_border(truth, distance)
    for z, section in enumerate(truth):
        height, width = section.shape
        border = [
            (y, x)
            for y in range(height)
            for x in range(width)
            for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            if 0 <= b < height and 0 <= a < width and section[y, x] != section[b, a]
        ]
        for y in range(height):
            for x in range(width):
                near = any((y - b) ** 2 + (x - a) ** 2 <= distance**2 for b, a in border)
                assert found[z, y, x] == (0 if near else section[y, x])


def test_a_volume_without_borders_is_scored_whole() -> None:
    truth = np.full((2, 4, 4), 7)
    assert np.array_equal(ignore_border(truth, 3), truth)
    assert neuron_scores(truth, truth, border=2)["voi"] == 0
