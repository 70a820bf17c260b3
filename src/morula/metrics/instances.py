"""Object-level Dice coefficients, and all instance scores of an image at once."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.metrics.counts import ratio
from morula.metrics.jaccard import aji_of, aji_plus_of
from morula.metrics.matching import dsb_score_of, matching_of, panoptic_quality_of
from morula.metrics.overlap import Overlap, best_of_each, overlap

__all__ = ["ensemble_dice", "instance_scores", "instance_scores_of", "object_dice", "object_dice_of"]


def object_dice(pred: Array, truth: Array) -> float:
    """Object-level Dice of the gland challenge, as the weakly supervised nucleus literature reports it.

        1/2 [ sum_i gamma_i D(G_i, S*(G_i)) + sum_j sigma_j D(S_j, G*(S_j)) ]

    where * is the partner that shares most pixels (of equals, the one with the larger Dice), gamma and
    sigma are the shares of the objects in the true and in the predicted area, and D is 0 for an object
    without a partner.

    Both empty: 1. One empty: 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        The coefficient in [0, 1].

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Sirinukunwattana et al., GlaS, Medical Image Analysis 35:489 (2017).

    >>> object_dice(np.array([1, 1, 0, 0]), np.array([1, 1, 2, 2]))  # (1/2 + 1) / 2
    0.75
    """
    return object_dice_of(overlap(pred, truth))


def object_dice_of(table: Overlap) -> float:
    """`object_dice` of a table that is counted already."""
    if not len(table.truth_areas) and not len(table.pred_areas):
        return 1.0
    for_truth = _weighted_dice(table, table.truth, table.truth_areas)
    for_pred = _weighted_dice(table, table.pred, table.pred_areas)
    return (for_truth + for_pred) / 2


def ensemble_dice(pred: Array, truth: Array) -> float:
    """Ensemble Dice (DICE2): the Dice coefficient pooled over all pairs of objects that share a pixel.

        2 sum_ij |G_i ∩ S_j| / sum_ij ( |G_i| + |S_j| )        over the pairs with |G_i ∩ S_j| > 0

    It ignores objects that meet nothing, and punishes one stray pixel with two whole areas: report it next to
    other scores only, where a paper did.

    Both empty: 1. One empty, or no pair: 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        The coefficient in [0, 1].

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Vu et al., Frontiers in Bioengineering 7:53 (2019); `get_fast_dice_2` of HoVer-Net.

    >>> ensemble_dice(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 0]))  # 2 (2 + 1) / ((3 + 2) + (3 + 2))
    0.6
    """
    table = overlap(pred, truth)
    if len(table.truth) == 0:
        return float(table.counts(0).f1)
    return ratio(2 * int(table.intersections.sum()), int(table.area_sums.sum()))


def instance_scores(pred: Array, truth: Array) -> dict[str, float]:
    """Every instance score of one image, from one pass over its pixels.

    Both empty: all 1. One empty: all 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        `aji`, `aji_plus`; `pq`, `dq`, `sq` at IoU > 0.5; `ap50`, TP / (TP + FP + FN) at IoU >= 0.5; `dsb`,
        its mean over the Data Science Bowl thresholds; `object_dice`; and, of the foreground whatever its
        objects, `iou` and `f1` (which is Dice) in pixels.

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    >>> truth = np.array([[1, 1, 0, 2, 2, 2]])
    >>> scores = instance_scores(np.array([[5, 5, 0, 8, 8, 0]]), truth)
    >>> {name: round(score, 3) for name, score in scores.items() if name in ("aji", "pq", "ap50", "iou")}
    {'aji': 0.8, 'pq': 0.833, 'ap50': 1.0, 'iou': 0.8}
    """
    return instance_scores_of(overlap(pred, truth))


def instance_scores_of(table: Overlap) -> dict[str, float]:
    """`instance_scores` of a table that may be pooled from the parts of an image."""
    quality = panoptic_quality_of(table)
    return {
        "aji": aji_of(table),
        "aji_plus": aji_plus_of(table),
        "pq": quality.pq,
        "dq": quality.dq,
        "sq": quality.sq,
        "ap50": matching_of(table, 0.5).counts.ap,
        "dsb": dsb_score_of(table),
        "object_dice": object_dice_of(table),
        "iou": table.pixels.ap,
        "f1": table.pixels.f1,
    }


def _weighted_dice(table: Overlap, objects: Array, areas: Array) -> float:
    """Dice of each object with its best partner, weighted by area; objects without a partner count as 0."""
    best = best_of_each(objects, table.intersections, table.dices)
    weighted = areas[objects[best]] * table.dices[best]
    return float(np.sum(weighted) / max(1, int(areas.sum())))
