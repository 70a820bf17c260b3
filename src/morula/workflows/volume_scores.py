"""Scores of a segmented volume: foreground per volume and per section, and objects after numbering."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.data import is_mask
from morula.metrics import dice, iou, iou_per_slice, matching
from morula.post import components

__all__ = ["volume_scores"]


def volume_scores(pred: Array, truth: Array) -> dict[str, float]:
    """Foreground and object scores of one volume.

    Args:
        pred: predicted labels or mask `(z, y, x)`, 0 = background.
        truth: true labels or mask, shaped like `pred`. A mask, as `morula.data.is_mask` tells it from
            instance numbers, is numbered by its 26-connected components, for objects to be compared.

    Returns:
        `iou` and `dice` of the volume, `iou_per_slice` as the published code has it (the mean over sections,
        where a section that is empty in both counts 0), and `ap50`, objects found at half overlap over
        found, missed and invented ones.

    Raises:
        DataError: 2 and 255 without other values.
        ValueError: the shapes differ, or labels are negative or not integers.

    >>> block = np.zeros((2, 8, 8), int)
    >>> block[0, :4, :4] = 255
    >>> volume_scores(block > 0, block)
    {'iou': 1.0, 'iou_per_slice': 0.5, 'dice': 1.0, 'ap50': 1.0}
    """
    return {
        "iou": iou(pred, truth),
        "iou_per_slice": iou_per_slice(pred, truth, empty=0.0),
        "dice": dice(pred, truth),
        "ap50": matching(_numbered(pred, "prediction"), _numbered(truth, "truth")).counts.ap,
    }


def _numbered(labels: Array, where: str) -> Array:
    values, counts = np.unique(labels, return_counts=True)
    return components(labels) if is_mask(values, counts, labels.size, where=where) else labels
