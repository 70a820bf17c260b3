"""Scores of masks of thin branches: overlap of their centre lines, and distance of their surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from morula.core.types import Array

__all__ = ["centreline_dice", "hausdorff95"]

_ndi: Any = import_module("scipy.ndimage")
_spatial: Any = import_module("scipy.spatial")
_morphology: Any = import_module("skimage.morphology")


def centreline_dice(pred: Array, truth: Array) -> float:
    """clDice: the harmonic mean of how much of each skeleton lies in the other mask.

    Both empty: 1. One empty: 0.

    Args:
        pred: `(y, x)` or `(z, y, x)`, non-zero = foreground.
        truth: shaped like `pred`.

    Raises:
        ValueError: the shapes differ.

    Source: Shit et al., CVPR 2021, equations 1 and 2.

    >>> line, thick = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    >>> line[2, 1:8] = thick[1:4, 1:8] = True
    >>> centreline_dice(thick, thick), round(centreline_dice(line, thick), 2)
    (1.0, 0.91)
    """
    masks = _pair(pred, truth)
    if masks is None:
        return float(not np.any(pred) and not np.any(truth))
    ours, theirs = masks
    precision = _share(_morphology.skeletonize(ours), theirs)
    recall = _share(_morphology.skeletonize(theirs), ours)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def hausdorff95(pred: Array, truth: Array, *, spacing: Sequence[float] | None = None) -> float:
    """HD95: the 95 % quantile of the distances between the surfaces of two masks, the larger of both ways.

    Both empty: 0. One empty: infinite.

    Args:
        pred: `(y, x)` or `(z, y, x)`, non-zero = foreground.
        truth: shaped like `pred`.
        spacing: edges of a voxel; the result has their unit, voxels by default.

    Raises:
        ValueError: the shapes differ.

    >>> one, other = np.zeros((3, 9), bool), np.zeros((3, 9), bool)
    >>> one[:, 1] = other[:, 5] = True
    >>> hausdorff95(one, other), hausdorff95(one, other, spacing=(1.0, 0.5))
    (4.0, 2.0)
    """
    masks = _pair(pred, truth)
    if masks is None:
        return 0.0 if not np.any(pred) and not np.any(truth) else np.inf
    scale = np.ones(pred.ndim) if spacing is None else np.asarray(spacing, np.float64)
    ours, theirs = (np.argwhere(mask & ~np.asarray(_ndi.binary_erosion(mask))) * scale for mask in masks)
    ways = (_spatial.KDTree(one).query(other)[0] for one, other in ((theirs, ours), (ours, theirs)))
    return float(max(np.quantile(way, 0.95) for way in ways))  # surfaces are few voxels, unlike the box


def _pair(pred: Array, truth: Array) -> tuple[Array, Array] | None:
    """Both masks within the box that holds them, a voxel of background around; None where one is empty."""
    if pred.shape != truth.shape:
        raise ValueError(f"masks of shape {pred.shape} and {truth.shape}")
    ours, theirs = pred != 0, truth != 0
    if not ours.any() or not theirs.any():
        return None
    box = _ndi.find_objects((ours | theirs).astype(np.uint8))[0]
    return np.pad(ours[box], 1), np.pad(theirs[box], 1)


def _share(skeleton: Array, mask: Array) -> float:
    count = int(np.count_nonzero(skeleton))
    return int(np.count_nonzero(skeleton & mask)) / count if count else 0.0
