"""Split and merge errors of a dense segmentation: variation of information and adapted Rand error.

Both are read from one sparse table of overlaps, so ten thousand neurites need no dense table. Voxels whose
true label is 0 are ignored. Where the segmentation is 0 it counts as one more segment in the variation of
information and in scikit-image's Rand error; CREMI's Rand error takes these voxels as single segments.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np

from morula.core.types import Array
from morula.metrics.overlap import Overlap, overlap

__all__ = [
    "AdaptedRand",
    "Voi",
    "adapted_rand",
    "ignore_border",
    "neuron_scores",
    "neuron_scores_of",
    "variation_of_information",
]

_ndi: Any = import_module("scipy.ndimage")


class Voi(NamedTuple):
    """Variation of information in bits.

    Attributes:
        split: H(segmentation | truth), what is wrongly cut.
        merge: H(truth | segmentation), what is wrongly joined.
    """

    split: float
    merge: float

    @property
    def total(self) -> float:
        """Split and merge together."""
        return self.split + self.merge


class AdaptedRand(NamedTuple):
    """Adapted Rand error, 1 - F1 over pairs of voxels.

    Attributes:
        error: 0 is perfect.
        precision: pairs joined in both over pairs joined in the segmentation.
        recall: pairs joined in both over pairs joined in the truth.
    """

    error: float
    precision: float
    recall: float


def variation_of_information(pred: Array, truth: Array) -> Voi:
    """Split and merge in bits, as CREMI's reference and scikit-image compute them.

    A truth without any voxel to score gives 0 and 0.

    Args:
        pred: segmentation of any shape, integers.
        truth: true labels, shaped like `pred`; 0 is ignored and the probabilities are normalised again.

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Meila, J. Multivariate Analysis 98:873 (2007); `voi.py` of cremi_python.

    >>> truth = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    >>> variation_of_information(np.array([1, 1, 3, 3, 2, 2, 2, 2]), truth)
    Voi(split=0.5, merge=0.0)
    >>> variation_of_information(np.ones(8, int), truth).merge
    1.0
    """
    return _voi(_Joint.of(overlap(pred, truth)))


def adapted_rand(
    pred: Array, truth: Array, *, variant: Literal["cremi", "scikit-image"] = "cremi"
) -> AdaptedRand:
    """Adapted Rand error of a segmentation.

    Args:
        pred: segmentation of any shape, integers.
        truth: true labels, shaped like `pred`; 0 is ignored.
        variant: how pairs are counted. `cremi`: a voxel pairs with itself, too, and segmentation 0 is many
            segments of one voxel, each weighed by one over the size of the whole image. `scikit-image`:
            a voxel does not pair with itself, and segmentation 0 is one segment.

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    Source: Arganda-Carreras et al., Front. Neuroanat. 9:142 (2015); `rand.py` of cremi_python;
    `adapted_rand_error` of scikit-image 0.26 with `ignore_labels=(0,)`.

    >>> adapted_rand(np.array([1, 1, 2, 2]), np.array([7, 7, 7, 7]))
    AdaptedRand(error=0.33333333333333337, precision=1.0, recall=0.5)
    """
    return _rand(_Joint.of(overlap(pred, truth)), variant)


def neuron_scores(pred: Array, truth: Array, *, border: float | None = None) -> dict[str, float]:
    """Every score of a dense segmentation, from one table.

    Args:
        pred: segmentation `(z, y, x)`, integers.
        truth: true labels, shaped like `pred`; 0 is ignored.
        border: leave out voxels this near to a border of the truth, in pixels; None scores all.

    Returns:
        `voi_split`, `voi_merge`, `voi` (their sum, bits), `are` (CREMI's), `are_skimage` (scikit-image's, see
        `adapted_rand`), and `cremi`, the score of that challenge: sqrt(are * voi).

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    >>> neuron_scores(np.array([[[1, 2]]]), np.array([[[1, 2]]]))["voi"]
    0.0
    """
    return neuron_scores_of(overlap(pred, truth if border is None else ignore_border(truth, border)))


def neuron_scores_of(table: Overlap) -> dict[str, float]:
    """What `neuron_scores` gives, from a table that may be pooled from the parts of a volume.

    >>> neuron_scores_of(overlap(np.array([1, 2]), np.array([1, 2])))["are"]
    0.0
    """
    joint = _Joint.of(table)
    voi, error = _voi(joint), _rand(joint, "cremi").error
    return {
        "voi_split": voi.split,
        "voi_merge": voi.merge,
        "voi": voi.total,
        "are": error,
        "are_skimage": _rand(joint, "scikit-image").error,
        "cremi": float(np.sqrt(error * voi.total)),
    }


def ignore_border(truth: Array, distance: float) -> Array:
    """True labels with 0 near borders, which differ between annotators.

    As CREMI has it: a voxel is on a border where one of its four neighbours in the section has another label,
    and is left out where the distance to the nearest of these is at most `distance`; 0 drops the border
    voxels themselves.

    Args:
        truth: true labels `(z, y, x)`.
        distance: in pixels of the section.

    >>> ignore_border(np.array([[[3, 3, 3, 4, 4, 4]]]), 0)
    array([[[3, 3, 0, 0, 4, 4]]])
    """
    kept = truth.copy()
    for section, result in zip(truth, kept, strict=True):
        padded = np.pad(section, 1, mode="edge")
        inside = np.ones(section.shape, bool)
        for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            inside &= section == neighbour
        if not inside.all():
            result[_ndi.distance_transform_edt(inside) <= distance] = 0
    return kept


class _Joint(NamedTuple):
    """Voxels whose true label is above 0, by truth and segment.

    Attributes:
        pairs: `(k,)` voxels that a true object shares with a segment above 0.
        truth: `(n,)` voxels of each true object.
        pred: `(m,)` voxels of each segment above 0 inside true objects.
        uncovered: `(n,)` voxels of each true object where the segmentation is 0.
        rows: `(k,)` the true object of each pair.
        columns: `(k,)` the segment of each pair.
        size: voxels of the image, ignored ones included.
    """

    pairs: Array
    truth: Array
    pred: Array
    uncovered: Array
    rows: Array
    columns: Array
    size: int

    @classmethod
    def of(cls, table: Overlap) -> _Joint:
        pairs, truth = table.intersections.astype(float), table.truth_areas.astype(float)
        covered = np.bincount(table.truth, weights=pairs, minlength=len(truth))
        pred = np.bincount(table.pred, weights=pairs, minlength=len(table.pred_areas))
        return cls(pairs, truth, pred, truth - covered, table.truth, table.pred, table.size)


def _voi(joint: _Joint) -> Voi:
    total = joint.truth.sum()
    if not total:
        return Voi(0.0, 0.0)
    missed = joint.uncovered[joint.uncovered > 0]
    both = -(_xlogx(joint.pairs) + _xlogx(missed)) / total  # H(X, Y) - log2(total), as are the next two
    one = -_xlogx(joint.truth) / total
    other = -(_xlogx(joint.pred[joint.pred > 0]) + _xlogx(missed.sum(keepdims=True))) / total
    return Voi(max(0.0, float(both - one)), max(0.0, float(both - other)))


def _rand(joint: _Joint, variant: Literal["cremi", "scikit-image"]) -> AdaptedRand:
    total, missed = joint.truth.sum(), joint.uncovered.sum()
    if not total:
        return AdaptedRand(0.0, 1.0, 1.0)
    both, one, other = ((part**2).sum() for part in (joint.pairs, joint.truth, joint.pred))
    if variant == "cremi":
        both, other = both + missed / joint.size, other + missed / joint.size
    else:
        both += (joint.uncovered**2).sum() - total
        one, other = one - total, other + missed**2 - total
    precision = float(both / other) if other else 1.0
    recall = float(both / one) if one else 1.0
    if precision + recall == 0:
        return AdaptedRand(1.0, precision, recall)
    error = max(0.0, 1 - 2 * precision * recall / (precision + recall))  # sums of squares are rounded
    return AdaptedRand(error, precision, recall)


def _xlogx(counts: Array) -> float:
    positive = counts[counts > 0]
    return float((positive * np.log2(positive)).sum())
