"""Scores of a foreground mask, whichever objects it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from morula.core.types import Array
from morula.metrics.counts import Counts

__all__ = ["dice", "iou", "iou_of_slices", "iou_per_slice", "semantic_scores", "semantic_scores_of"]


def iou(pred: Array, truth: Array) -> float:
    """Intersection over union of two masks, the Jaccard index: TP / (TP + FP + FN) in pixels.

    Both empty: 1. One empty: 0.

    Args:
        pred: predicted mask of any shape, bool or non-negative integers, non-zero = foreground.
        truth: true mask, shaped like `pred`.

    Returns:
        The index in [0, 1].

    Raises:
        ValueError: the shapes differ, or a mask is negative or neither bool nor integer.

    Source: Jaccard (1912); Everingham et al., IJCV 88:303 (2010), section 4.3.

    >>> iou(np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 0]]))
    0.3333333333333333
    """
    return _count_pixels(*_masks(pred, truth)).ap


def dice(pred: Array, truth: Array) -> float:
    """Dice coefficient of two masks, the pixel F1: 2 TP / (2 TP + FP + FN).

    Both empty: 1. One empty: 0.

    Args:
        pred: predicted mask of any shape, bool or non-negative integers, non-zero = foreground.
        truth: true mask, shaped like `pred`.

    Returns:
        The coefficient in [0, 1].

    Raises:
        ValueError: the shapes differ, or a mask is negative or neither bool nor integer.

    Source: Dice, Ecology 26:297 (1945); `get_dice_1` of HoVer-Net.

    >>> dice(np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 0]]))
    0.5
    """
    return _count_pixels(*_masks(pred, truth)).f1


def iou_per_slice(pred: Array, truth: Array, *, empty: float = 1.0) -> float:
    """Mean over the sections of a stack of the IoU of each section.

    Args:
        pred: predicted mask `(z, y, x)`, or `(y, x)` for one section; bool or non-negative integers,
            non-zero = foreground.
        truth: true mask, shaped like `pred`.
        empty: what a section counts that is empty in both; 1 as everywhere else, 0 in the published
            protocol of domain adaptation for mitochondria.

    Returns:
        The mean in [0, 1]. A section that is empty in one of the two counts 0.

    Raises:
        ValueError: the shapes differ, there are fewer than 2 or more than 3 axes, there is no section, or a
            mask is negative or neither bool nor integer.

    Source: Franco-Barranco et al., CMPB 222:106949 (2022), public code.

    >>> stack = np.array([[[1, 1]], [[0, 0]]])
    >>> iou_per_slice(stack, stack), iou_per_slice(stack, stack, empty=0.0)
    (1.0, 0.5)
    """
    found, expected = _masks(pred, truth)
    if found.ndim not in (2, 3):
        raise ValueError(f"a stack has the axes (z, y, x) or (y, x), not the shape {found.shape}")
    if found.ndim == 2:
        found, expected = found[None], expected[None]
    if not len(found):
        raise ValueError(f"a stack needs at least one section, not the shape {found.shape}")
    sections = [_count_pixels(*section) for section in zip(found, expected, strict=True)]
    return iou_of_slices(sections, empty=empty)


def iou_of_slices(sections: Sequence[Counts], *, empty: float = 1.0) -> float:
    """`iou_per_slice` of sections whose pixels are counted already, at least one.

    >>> iou_of_slices([Counts(1, 0, 1), Counts(0, 0, 0)])
    0.75
    """
    return float(np.mean([empty if counts == Counts(0, 0, 0) else counts.ap for counts in sections]))


def semantic_scores(pred: Array, truth: Array) -> dict[str, float]:
    """Every foreground score of one image or stack.

    Args:
        pred: predicted mask `(y, x)` or `(z, y, x)`, bool or non-negative integers, non-zero = foreground.
        truth: true mask, shaped like `pred`.

    Returns:
        `iou` and `dice` of all pixels together, and `iou_per_slice`, where an empty section that is predicted
        empty counts 1.

    Raises:
        ValueError: as in `iou_per_slice`.

    >>> semantic_scores(np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 0]]))["dice"]
    0.5
    """
    return {"iou": iou(pred, truth), "iou_per_slice": iou_per_slice(pred, truth), "dice": dice(pred, truth)}


def semantic_scores_of(sections: Sequence[Counts]) -> dict[str, float]:
    """`semantic_scores` of sections whose pixels are counted already, at least one.

    >>> semantic_scores_of([Counts(1, 1, 1)])["dice"]
    0.5
    """
    whole = sum(sections, Counts(0, 0, 0))
    return {"iou": whole.ap, "iou_per_slice": iou_of_slices(sections), "dice": whole.f1}


def _masks(pred: Array, truth: Array) -> tuple[Array, Array]:
    if pred.shape != truth.shape:
        raise ValueError(f"prediction and truth differ in shape: {pred.shape} and {truth.shape}")
    return _foreground(pred, "prediction"), _foreground(truth, "truth")


def _foreground(mask: Array, name: str) -> Array:
    if mask.dtype.kind not in "biu":
        raise ValueError(f"{name}: a mask is bool or integer, not {mask.dtype}")
    if mask.dtype.kind == "i" and mask.min(initial=0) < 0:
        raise ValueError(f"{name}: a mask must not be negative, found {mask.min()}")
    return mask != 0


def _count_pixels(pred: Array, truth: Array) -> Counts:
    shared = int(np.count_nonzero(pred & truth))
    return Counts(shared, int(np.count_nonzero(pred)) - shared, int(np.count_nonzero(truth)) - shared)
