"""Scores of a segmented volume: foreground per volume and per section, and objects after numbering."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.metrics import dice, iou, iou_per_slice, matching
from morula.post import components

__all__ = ["volume_scores"]


def volume_scores(pred: Array, truth: Array) -> dict[str, float]:
    """Foreground and object scores of one volume.

    Args:
        pred: predicted labels or mask `(z, y, x)`, 0 = background.
        truth: true labels or mask, shaped like `pred`. A mask, with one value beside 0, is numbered by its
            26-connected components, for objects to be compared.

    Returns:
        `iou` and `dice` of the volume, `iou_per_slice` as the published code has it (the mean over sections,
        where a section that is empty in both counts 0), and `ap50`, objects found at half overlap over
        found, missed and invented ones.

    Raises:
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
        "ap50": matching(_numbered(pred), _numbered(truth)).counts.ap,
    }


def _numbered(labels: Array) -> Array:
    values = np.unique(labels)
    return components(labels) if len(values[values != 0]) <= 1 else labels
