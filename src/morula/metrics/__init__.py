"""Scores of a prediction against the truth: functions of arrays, prediction first.

One convention holds for empty images: where prediction and truth are both empty the answer is perfect and
every score is 1; where one of them is empty every score is 0. No score is ever NaN.
"""

from morula.metrics.bootstrap import Interval, bootstrap_mean
from morula.metrics.counts import Counts
from morula.metrics.instances import ensemble_dice, instance_scores, object_dice
from morula.metrics.jaccard import aji, aji_fast, aji_plus
from morula.metrics.matching import (
    DSB_THRESHOLDS,
    Matching,
    PanopticQuality,
    dsb_score,
    matching,
    panoptic_quality,
)
from morula.metrics.morphology import CrossSections, area_ratio, cross_sections, solidity, tissue_growth
from morula.metrics.overlap import Overlap, overlap
from morula.metrics.points import (
    CountingErrors,
    class_mean,
    counting_errors,
    macro,
    match_points,
    micro,
    point_scores,
)
from morula.metrics.semantic import dice, iou, iou_per_slice, semantic_scores

__all__ = [
    "DSB_THRESHOLDS",
    "CountingErrors",
    "Counts",
    "CrossSections",
    "Interval",
    "Matching",
    "Overlap",
    "PanopticQuality",
    "aji",
    "aji_fast",
    "aji_plus",
    "area_ratio",
    "bootstrap_mean",
    "class_mean",
    "counting_errors",
    "cross_sections",
    "dice",
    "dsb_score",
    "ensemble_dice",
    "instance_scores",
    "iou",
    "iou_per_slice",
    "macro",
    "match_points",
    "matching",
    "micro",
    "object_dice",
    "overlap",
    "panoptic_quality",
    "point_scores",
    "semantic_scores",
    "solidity",
    "tissue_growth",
]
