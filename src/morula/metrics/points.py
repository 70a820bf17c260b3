"""Scores of cells that are marked by a point and a class: detection and counting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from morula.core.types import Array
from morula.metrics.assignment import assign_dense
from morula.metrics.counts import Counts

__all__ = [
    "CountingErrors",
    "class_mean",
    "counting_errors",
    "macro",
    "match_points",
    "micro",
    "point_scores",
]

_NO_POINTS = np.empty((0, 2))


class CountingErrors(NamedTuple):
    """Mean absolute errors of the number of cells per image, by class and of all classes together."""

    classes: dict[str, float]
    total: float


def match_points(pred: Array, truth: Array, radius: float) -> tuple[Array, Array]:
    """Pairs predicted with true points one to one, by the smallest total distance, then drops distant pairs.

    The assignment is made over all points before pairs further apart than `radius` are dropped, as in the
    reference; it is not the largest matching within the radius.

    Args:
        pred: `(m, d)` predicted coordinates, in pixels (or any unit, shared with the others).
        truth: `(n, d)` true coordinates.
        radius: the largest distance of a pair, in the unit of the points.

    Returns:
        `(k,)` indices into `pred` and `(k,)` indices into `truth` of the pairs; empty where either is empty.

    Raises:
        ValueError: the radius is not a positive number, the points are not `(n, d)` with the same d, or a
            coordinate is not finite.

    Source: `pair_coordinates` of HoVer-Net (Graham et al., Medical Image Analysis 58:101563, 2019).

    >>> match_points(np.array([[0.0, 1.0], [9.0, 9.0]]), np.array([[20.0, 20.0], [0.0, 0.0]]), radius=3)
    (array([0]), array([1]))
    """
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"the radius must be a positive length, not {radius}")
    if pred.ndim != 2 or truth.ndim != 2 or pred.shape[1] != truth.shape[1]:
        raise ValueError(f"points must be (n, d) with the same d, not {pred.shape} and {truth.shape}")
    distances = cdist(truth, pred)
    if not np.isfinite(distances).all():
        raise ValueError("a coordinate is not a finite number")
    of_truth, of_pred = assign_dense(distances)
    near = distances[of_truth, of_pred] <= radius
    return of_pred[near], of_truth[near]


def point_scores(pred: Mapping[str, Array], truth: Mapping[str, Array], radius: float) -> dict[str, Counts]:
    """Points found, invented and missed in one image, class by class.

    A class that is missing from one of the two has no points there. Both empty: precision, recall and F1
    are 1. One empty: 0.

    Args:
        pred: `(m, 2)` predicted coordinates of each class, in pixels.
        truth: `(n, 2)` true coordinates of each class, in pixels.
        radius: the largest distance of a match, in pixels.

    Returns:
        The counts of every class that occurs in either, in alphabetical order.

    Raises:
        ValueError: as in `match_points`.

    Source: the protocol of BCData (Huang et al., MICCAI 2020); since its radius is not published, state
    yours.

    >>> truth = {"positive": np.array([[0.0, 0.0], [50.0, 50.0]])}
    >>> point_scores({"positive": np.array([[3.0, 4.0]])}, truth, radius=5)
    {'positive': Counts(tp=1, fp=0, fn=1)}
    """
    return {
        name: _count_points(pred.get(name, _NO_POINTS), truth.get(name, _NO_POINTS), radius)
        for name in sorted({*pred, *truth})
    }


def micro(images: Iterable[Counts]) -> Counts:
    """The counts of all images pooled, so that every cell weighs the same.

    >>> micro([Counts(1, 0, 0), Counts(1, 2, 0)])
    Counts(tp=2, fp=2, fn=0)
    """
    return sum(images, Counts(0, 0, 0))


def macro(images: Sequence[Counts]) -> dict[str, float]:
    """Mean precision, recall and F1 over the images, so that every image weighs the same.

    An image without a cell of the class, where none is predicted, counts 1.

    Raises:
        ValueError: there is no image.

    >>> macro([Counts(1, 0, 0), Counts(1, 1, 0)])["precision"]
    0.75
    """
    if not images:
        raise ValueError("a mean over images needs at least one image")
    return {
        "precision": float(np.mean([counts.precision for counts in images])),
        "recall": float(np.mean([counts.recall for counts in images])),
        "f1": float(np.mean([counts.f1 for counts in images])),
    }


def class_mean(classes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean precision, recall and F1 over the classes, so that a rare class weighs as much as a common one.

    Without a class nothing was expected and nothing found: 1.

    >>> class_mean([macro([Counts(1, 0, 0)]), macro([Counts(1, 1, 0)])])["precision"]
    0.75
    """
    names = ("precision", "recall", "f1")
    return {name: float(np.mean([scores[name] for scores in classes] or [1.0])) for name in names}


def counting_errors(images: Sequence[Mapping[str, Counts]]) -> CountingErrors:
    """Mean absolute error of the number of cells per image: MP and MN (per class) and MT (all together).

    Args:
        images: the counts of each class in each image, as `point_scores` returns them; a class that is
            missing from an image has no cells there.

    Raises:
        ValueError: there is no image.

    Source: the counts reported on BCData (Huang et al., MICCAI 2020); that they are mean absolute errors is
    our reading of the tables.

    >>> image = {"negative": Counts(5, 2, 0), "positive": Counts(3, 0, 1)}
    >>> counting_errors([image])
    CountingErrors(classes={'negative': 2.0, 'positive': 1.0}, total=1.0)
    """
    if not images:
        raise ValueError("a mean over images needs at least one image")
    names = sorted({name for image in images for name in image})
    absent = Counts(0, 0, 0)
    classes = {name: _mean_error([image.get(name, absent) for image in images]) for name in names}
    return CountingErrors(classes, _mean_error([micro(image.values()) for image in images]))


def _count_points(pred: Array, truth: Array, radius: float) -> Counts:
    matched = len(match_points(pred, truth, radius)[0])
    return Counts(matched, len(pred) - matched, len(truth) - matched)


def _mean_error(images: Sequence[Counts]) -> float:
    return float(np.mean([abs(counts.predicted - counts.expected) for counts in images]))
