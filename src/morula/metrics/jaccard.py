"""The aggregated Jaccard index and its two relatives.

All three pair each true object with a prediction, and divide the pixels that the pairs share by the pixels
that the pairs cover plus those of everything left alone. They differ in who may be paired with whom.
"""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.metrics.counts import ratio
from morula.metrics.overlap import Overlap, assign, best_of_each, overlap

__all__ = ["aji", "aji_fast", "aji_fast_of", "aji_of", "aji_plus", "aji_plus_of"]


def aji(pred: Array, truth: Array) -> float:
    """Aggregated Jaccard index, as the MoNuSeg challenge defines it.

        AJI = sum_i |G_i ∩ S_i*| / ( sum_i |G_i ∪ S_i*| + sum_unused |S| )

    where S_i* is the prediction with the largest IoU with G_i, and may serve several true objects. A true
    object that no prediction touches adds |G_i| to the denominator and nothing else. Of predictions with
    equal IoU the one that shares more pixels is taken, then the one with the lower label.

    Both empty: 1. One empty: 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        The index in [0, 1].

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Kumar et al., IEEE TMI 36:1550 (2017), algorithm 1; the same as `get_fast_aji` of HoVer-Net, whose
    1e-6 in the denominator of the IoU is left out.

    >>> truth = np.array([[1, 1, 0, 2, 2]])
    >>> aji(np.array([[1, 1, 0, 0, 0]]), truth)
    0.5
    >>> aji(np.array([[1, 1, 1, 1, 1]]), truth)  # one blob serves both: (2 + 2) / (5 + 5)
    0.4
    """
    return aji_of(overlap(pred, truth))


def aji_of(table: Overlap) -> float:
    """`aji` of a table that is counted already."""
    return _aggregate(table, best_of_each(table.truth, table.ious, table.intersections))


def aji_fast(pred: Array, truth: Array) -> float:
    """The variant of `aji` that PSM and its lineage of weakly supervised code report; not the official index.

    A true object that no prediction touches is paired with the prediction of the lowest label, so that it
    adds |G_i| + |S_0| to the denominator and marks S_0 as used. It exists to compare with published
    numbers.

    Both empty: 1. One empty: 0 (the published function stops there).

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        The index in [0, 1].

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: `AJI_fast` of the public code of Qu et al. (MIDL 2019) and of PSM (MICCAI 2023).

    >>> truth = np.array([1, 0, 2, 0, 3, 0, 4, 0, 5])
    >>> pred = np.where(truth == 5, 0, truth)
    >>> round(aji_fast(pred, truth), 3), aji(pred, truth)
    (0.667, 0.8)
    """
    return aji_fast_of(overlap(pred, truth))


def aji_fast_of(table: Overlap) -> float:
    """`aji_fast` of a table that is counted already."""
    best = best_of_each(table.truth, table.ious, table.intersections)
    missed = len(table.truth_areas) - len(best)
    if not missed or not len(table.pred_areas):
        return _aggregate(table, best)
    first_is_unused = 0 not in table.pred[best]
    surplus = int(table.pred_areas[0]) * (missed - first_is_unused)
    return _aggregate(table, best, surplus)


def aji_plus(pred: Array, truth: Array) -> float:
    """AJI+: the aggregated Jaccard index with one-to-one pairs, chosen to maximise the sum of their IoU.

    A prediction serves one true object at most, so a blob over two nuclei is not counted twice. Left-over
    true objects and predictions add their areas to the denominator. Where several assignments have the same
    largest sum of IoU, any one of them is taken, as in the reference.

    Both empty: 1. One empty: 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        The index in [0, 1].

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Graham et al., HoVer-Net, Medical Image Analysis 58:101563 (2019), `get_fast_aji_plus`.

    >>> aji_plus(np.array([[1, 1, 1, 1, 1]]), np.array([[1, 1, 0, 2, 2]]))  # 2 / (5 + 2)
    0.2857142857142857
    """
    return aji_plus_of(overlap(pred, truth))


def aji_plus_of(table: Overlap) -> float:
    """`aji_plus` of a table that is counted already."""
    return _aggregate(table, assign(table, table.ious))


def _aggregate(table: Overlap, pairs: Array, surplus: int = 0) -> float:
    """Shared pixels of `pairs` over their union, the areas of all objects without a pair, and `surplus`."""
    lone_truth = np.delete(table.truth_areas, table.truth[pairs]).sum()
    lone_pred = np.delete(table.pred_areas, table.pred[pairs]).sum()
    covered = table.unions[pairs].sum() + lone_truth + lone_pred + surplus
    return ratio(int(table.intersections[pairs].sum()), int(covered))
