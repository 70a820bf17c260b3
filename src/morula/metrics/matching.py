"""Scores that first decide which objects count as found: detection counts, AP, panoptic quality."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from morula.core.types import Array
from morula.metrics.counts import Counts
from morula.metrics.overlap import Overlap, assign, overlap

__all__ = [
    "DSB_THRESHOLDS",
    "Matching",
    "PanopticQuality",
    "dsb_score",
    "dsb_score_of",
    "matching",
    "matching_of",
    "panoptic_quality",
    "panoptic_quality_of",
]

DSB_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class Matching(NamedTuple):
    """What a one-to-one matching of objects found.

    Attributes:
        counts: matched pairs, predictions without truth, and truth without prediction.
        mean_iou: mean IoU of the matched pairs; 0 without a pair, 1 where there are no objects at all.
    """

    counts: Counts
    mean_iou: float


class PanopticQuality(NamedTuple):
    """`pq = dq * sq`: how many objects are found, and how well these are outlined."""

    pq: float
    dq: float
    sq: float


def matching(pred: Array, truth: Array, threshold: float = 0.5) -> Matching:
    """Objects found, invented and missed, where a match is a pair of IoU >= `threshold`, one to one.

    The matching has the largest possible number of pairs; of several such the one with the largest sum of IoU
    over all assigned objects. `counts.ap` is TP / (TP + FP + FN), the "average precision" of StarDist,
    Cellpose and the Data Science Bowl; `counts.f1` is the detection F1.

    Both empty: all ratios 1. One empty: all ratios 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.
        threshold: the smallest IoU of a match, in (0, 1].

    Raises:
        ValueError: the threshold is out of range, the shapes differ, or labels are negative or not integers.

    Source: Schmidt et al., StarDist, MICCAI 2018, and `stardist.matching`. IoU is kept in
    64 bits here, so that a pair of IoU 7/10 meets the threshold 0.7.

    >>> counts, mean_iou = matching(np.array([1, 1, 1, 0, 2]), np.array([1, 1, 1, 1, 0]))
    >>> counts, counts.ap, mean_iou
    (Counts(tp=1, fp=1, fn=0), 0.5, 0.75)
    """
    return matching_of(overlap(pred, truth), threshold)


def matching_of(table: Overlap, threshold: float = 0.5) -> Matching:
    """`matching` of a table that is counted already."""
    if not 0 < threshold <= 1:
        raise ValueError(f"an IoU threshold lies in (0, 1], not {threshold}")
    passed = table.ious >= threshold
    if threshold > 0.5:  # two objects cannot both cover more than half of a third
        return _matched(table, table.ious[passed])
    chosen = assign(table, passed + table.ious / (2 * max(1, len(table.truth_areas))))
    return _matched(table, table.ious[chosen][passed[chosen]])


def dsb_score(pred: Array, truth: Array) -> float:
    """Score of the 2018 Data Science Bowl: mean TP / (TP + FP + FN) over the IoU thresholds .5, .55 ... .95.

    Both empty: 1. One empty: 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.

    Returns:
        The score in [0, 1].

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Caicedo et al., Nature Methods 16:1247 (2019); matches as in `matching`.

    >>> dsb_score(np.array([1, 1, 1, 0]), np.array([1, 1, 1, 1]))  # IoU .75 passes 6 of 10 thresholds
    0.6
    """
    return dsb_score_of(overlap(pred, truth))


def dsb_score_of(table: Overlap) -> float:
    """`dsb_score` of a table that is counted already."""
    return float(np.mean([matching_of(table, threshold).counts.ap for threshold in DSB_THRESHOLDS]))


def panoptic_quality(pred: Array, truth: Array, threshold: float = 0.5) -> PanopticQuality:
    """Panoptic quality of one class: detection quality times segmentation quality.

        DQ = TP / (TP + FP / 2 + FN / 2)        SQ = mean IoU of the matched pairs        PQ = DQ * SQ

    A match is a pair of IoU > `threshold` (greater, not equal), which from one half up is always one to one.

    Both empty: all three 1. One empty, or no match: all three 0.

    Args:
        pred: predicted labels, integers of any shape, 0 = background; ids need not be contiguous.
        truth: true labels, shaped like `pred`.
        threshold: the IoU that a match exceeds, in [0.5, 1).

    Raises:
        ValueError: the threshold is out of range, the shapes differ, or labels are negative or not integers.

    Source: Kirillov et al., CVPR 2019, eq. 1; the same as `get_fast_pq` of HoVer-Net, whose 1e-6 in the
    denominator of SQ is left out.

    >>> panoptic_quality(np.array([1, 1, 1, 0]), np.array([1, 1, 1, 1]))
    PanopticQuality(pq=0.75, dq=1.0, sq=0.75)
    """
    return panoptic_quality_of(overlap(pred, truth), threshold)


def panoptic_quality_of(table: Overlap, threshold: float = 0.5) -> PanopticQuality:
    """`panoptic_quality` of a table that is counted already."""
    if not 0.5 <= threshold < 1:
        raise ValueError(f"the threshold of panoptic quality lies in [0.5, 1), not {threshold}")
    counts, sq = _matched(table, table.ious[table.ious > threshold])
    return PanopticQuality(counts.f1 * sq, counts.f1, sq)


def _matched(table: Overlap, ious: Array) -> Matching:
    """The matching whose pairs have these IoUs."""
    counts = table.counts(len(ious))
    return Matching(counts, float(ious.mean()) if len(ious) else counts.f1)
