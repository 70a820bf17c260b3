"""Scores of a prediction against the truth: functions of arrays, prediction first.

One convention holds for empty images: where prediction and truth are both empty the answer is perfect and
every score is 1; where one of them is empty every score is 0. No score is ever NaN.
"""

from morula.metrics.appearance import Look, edge_contrast, look, predictability
from morula.metrics.bootstrap import Interval, bootstrap_mean
from morula.metrics.coco import COCO, LIVECELL, ApProtocol, coco_scores
from morula.metrics.counts import Counts
from morula.metrics.diadem import OLFACTORY, Diadem, DiademSettings, Weighed, diadem_score
from morula.metrics.instances import ensemble_dice, instance_scores, instance_scores_of, object_dice
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
from morula.metrics.overlap import Overlap, joined, overlap, pooled
from morula.metrics.points import (
    CountingErrors,
    class_mean,
    counting_errors,
    macro,
    match_points,
    micro,
    point_scores,
)
from morula.metrics.selection import (
    Packed,
    Shapes,
    Term,
    Verdict,
    composite,
    consensus,
    equal_gaps,
    normalised_entropy,
    objections,
    shapes,
    with_consensus,
)
from morula.metrics.semantic import (
    dice,
    iou,
    iou_of_slices,
    iou_per_slice,
    semantic_scores,
    semantic_scores_of,
)
from morula.metrics.swc import (
    SpatialDistances,
    SubstantialDistance,
    Tolerance,
    distances_to_tree,
    spatial_distances,
    substantial_distance,
    tolerance_scores,
)
from morula.metrics.swc_length import LengthScores, length_scores
from morula.metrics.tubes import centreline_dice, hausdorff95
from morula.metrics.voi import (
    AdaptedRand,
    Voi,
    adapted_rand,
    ignore_border,
    neuron_scores,
    neuron_scores_of,
    variation_of_information,
)

__all__ = [
    "COCO",
    "DSB_THRESHOLDS",
    "LIVECELL",
    "LOWER_IS_BETTER",
    "OLFACTORY",
    "AdaptedRand",
    "ApProtocol",
    "CountingErrors",
    "Counts",
    "CrossSections",
    "Diadem",
    "DiademSettings",
    "Interval",
    "LengthScores",
    "Look",
    "Matching",
    "Overlap",
    "Packed",
    "PanopticQuality",
    "Shapes",
    "SpatialDistances",
    "SubstantialDistance",
    "Term",
    "Tolerance",
    "Verdict",
    "Voi",
    "Weighed",
    "adapted_rand",
    "aji",
    "aji_fast",
    "aji_plus",
    "area_ratio",
    "bootstrap_mean",
    "centreline_dice",
    "class_mean",
    "coco_scores",
    "composite",
    "consensus",
    "counting_errors",
    "cross_sections",
    "diadem_score",
    "dice",
    "distances_to_tree",
    "dsb_score",
    "edge_contrast",
    "ensemble_dice",
    "equal_gaps",
    "hausdorff95",
    "ignore_border",
    "instance_scores",
    "instance_scores_of",
    "iou",
    "iou_of_slices",
    "iou_per_slice",
    "joined",
    "length_scores",
    "look",
    "macro",
    "match_points",
    "matching",
    "micro",
    "neuron_scores",
    "neuron_scores_of",
    "normalised_entropy",
    "object_dice",
    "objections",
    "overlap",
    "panoptic_quality",
    "point_scores",
    "pooled",
    "predictability",
    "semantic_scores",
    "semantic_scores_of",
    "shapes",
    "solidity",
    "spatial_distances",
    "substantial_distance",
    "tissue_growth",
    "tolerance_scores",
    "variation_of_information",
    "with_consensus",
]

LOWER_IS_BETTER = frozenset(
    {"voi", "voi_split", "voi_merge", "are", "are_skimage", "esa", "dsa", "pds", "hd95"}
    | {"voi_border", "voi_split_border", "voi_merge_border", "are_border"}
)
"""The names of scores that are errors or distances: 0 is perfect."""
