"""Scores fall with what the network sees inside, around and in the middle of an object."""

import numpy as np
import pytest

from morula.post import rims
from morula.tasks.cells.scores import object_scores, scores_of, sums_of

DIAMETER = 8.0
"""Of the median object: rims are two pixels wide."""


def squares():
    """Two objects far from each other: labels, foreground, centre distance."""
    labels = np.zeros((20, 40), np.int32)
    labels[6:14, 6:14], labels[6:14, 26:34] = 1, 2
    inside = np.asarray(labels > 0, np.float32)
    return labels, inside, inside.copy()


def test_what_is_certain_scores_one():
    assert object_scores(*squares(), DIAMETER) == pytest.approx([1, 1])


def test_doubt_inside_around_and_in_the_middle_lowers_the_score():
    labels, inside, height = squares()
    doubted = np.where(labels == 2, 0.6, inside)
    assert object_scores(labels, doubted, height, DIAMETER) == pytest.approx([1, 0.6])
    spilled = inside.copy()
    spilled[4:16, 24:36] = 1
    assert object_scores(labels, spilled, height, DIAMETER)[1] < 0.1
    low = np.where(labels == 2, 0.25, height)
    assert object_scores(labels, inside, low, DIAMETER) == pytest.approx([1, 0.5])


def test_an_object_that_others_enclose_is_not_blamed_for_it():
    labels = np.ones((9, 9), np.int32)
    labels[3:6, 3:6] = 2
    ones = np.ones((9, 9), np.float32)
    assert object_scores(labels, ones, ones, DIAMETER) == pytest.approx([1, 1])


def test_a_pixel_between_two_objects_is_in_the_rim_of_the_nearer_one():
    labels = np.array([[1, 0, 0, 0, 0, 2]])
    assert rims(labels, 2.0).tolist() == [[0, 1, 1, 2, 2, 0]]
    assert rims(labels, 1.0).tolist() == [[0, 1, 0, 0, 2, 0]]


def test_scores_are_those_of_a_loop_and_of_parts():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (4, 6)), np.ones((7, 7), np.int64)).astype(np.int32)
    inside, height = rng.random((2, *labels.shape))
    around, count = rims(labels, 2.0), 3
    whole = sums_of(labels, around, count, inside, height)
    halves = [sums_of(*(each[:, part] for each in (labels, around)), count,
                      *(each[:, part] for each in (inside, height)))
              for part in (slice(0, 17), slice(17, None))]  # fmt: skip
    for name, values in whole.items():
        joined = (
            np.maximum(*(each[name] for each in halves))
            if name == "top"
            else sum(each[name] for each in halves)
        )
        np.testing.assert_allclose(joined, values)
    expected = []
    for each in range(1, count + 1):
        own, rim = labels == each, around == each
        expected.append(inside[own].mean() * (1 - inside[rim].mean()) * np.sqrt(height[own].max()))
    assert scores_of(whole) == pytest.approx(expected, rel=1e-6)
    assert object_scores(labels, inside, height, DIAMETER) == pytest.approx(expected, rel=1e-6)


def test_an_image_without_objects_has_no_scores():
    empty = np.zeros((5, 5), np.int32)
    assert object_scores(empty, empty, empty, DIAMETER).shape == (0,)
