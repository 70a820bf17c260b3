"""How well the mask of a traced neuron fits the true trace, drawn with its radii."""

from __future__ import annotations

from math import prod

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array, Voxel
from morula.data import draw_tree
from morula.metrics import centreline_dice, dice, hausdorff95
from morula.workflows.tracing import pixel_widths

__all__ = ["drawn_scores", "mask_scores"]

_LARGEST = 2**26  # voxels of a box around two trees; to thin larger ones to centre lines takes long


def mask_scores(mask: Array, truth: Tree, voxel: Voxel | None = None) -> dict[str, float]:
    """Dice, clDice and HD95 of a mask against a tree that is drawn with its radii, at least 1 voxel.

    HD95 is in pixel widths; without a voxel size a voxel is a cube. Where one of both is empty, it is the
    diagonal of the other's box, so that it stays a number.

    Args:
        mask: `(z, y, x)`, non-zero = neuron.
        truth: true tree, in voxels of the mask; what lies outside does not count.
        voxel: its size.

    >>> line = Tree.of([[2, 2, 2], [2, 2, 6]], [-1, 0])
    >>> mask_scores(draw_tree(line, (5, 5, 9)), line)
    {'dice': 1.0, 'cldice': 1.0, 'hd95': 0.0}
    """
    found, drawn, scale = mask != 0, draw_tree(truth, mask.shape), pixel_widths(voxel)
    ends = [_ends(found | drawn, axis) for axis in range(3)]
    box = tuple(slice(first, last + 1) for first, last in ends)
    found, drawn = found[box], drawn[box]
    away = hausdorff95(found, drawn, spacing=scale)
    lengths = [(last - first) * edge for (first, last), edge in zip(ends, scale, strict=True)]
    return {
        "dice": dice(found, drawn),
        "cldice": centreline_dice(found, drawn),
        "hd95": away if np.isfinite(away) else float(np.linalg.norm(lengths)),
    }


def drawn_scores(pred: Tree, truth: Tree, voxel: Voxel) -> dict[str, float]:
    """The same of two trees, both drawn; nothing where the box around them has more than 67 million voxels.

    Args:
        pred: predicted tree, in voxels.
        truth: true tree, in voxels.
        voxel: their size.
    """
    points = np.concatenate([pred.points, truth.points])
    reach = float(max(1.0, *pred.radius, *truth.radius))
    low, high = np.floor(points.min(axis=0) - reach), np.ceil(points.max(axis=0) + reach)
    shape = [int(length) for length in high - low + 1]
    if prod(shape) > _LARGEST:
        return {}
    return mask_scores(draw_tree(pred.moved(-low), shape), truth.moved(-low), voxel)


def _ends(mask: Array, axis: int) -> tuple[int, int]:
    """First and last section along an axis with a voxel of a mask; the first alone where there is none."""
    held = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
    return (int(held[0]), int(held[-1])) if len(held) else (0, 0)
