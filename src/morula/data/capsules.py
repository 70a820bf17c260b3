"""From a traced neuron to a mask: a ball a node, a capsule an edge, its radius running from ball to ball."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array

__all__ = ["draw_tree"]


def draw_tree(tree: Tree, shape: Sequence[int], *, least: float = 1.0, largest: float = np.inf) -> Array:
    """The voxels within a radius of a tree, as Vaa3D's `swc_to_maskimage` draws them.

    A voxel counts whose distance to a node is at most its radius, or to an edge at most the radius at its
    nearest point of the edge, which is interpolated between the two nodes. Lengths are voxels along all three
    axes.

    Args:
        tree: points z, y, x in voxels; parts outside the volume are cut off.
        shape: of the mask, z, y, x.
        least: smaller radii are drawn as large as this, so that no edge vanishes between voxels.
        largest: larger radii are drawn as small as this.

    Returns:
        `(z, y, x)` bool.

    >>> draw_tree(Tree.of([[1, 1, 1], [1, 1, 3]], [-1, 0]), (3, 3, 5))[1].astype(int)
    array([[0, 1, 1, 1, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 1, 0]])
    """
    mask = np.zeros(tuple(shape), np.bool_)
    radius = np.clip(tree.radius, least, largest)
    alone = np.flatnonzero((tree.parent < 0) & (tree.degree == 0))
    pairs = np.concatenate([tree.edges, np.stack([alone, alone], axis=1)])
    swapped = radius[pairs[:, 0]] < radius[pairs[:, 1]]
    pairs[swapped] = pairs[swapped, ::-1]
    for thick, thin in pairs.tolist():
        _capsule(mask, tree.points[thick], tree.points[thin], float(radius[thick]), float(radius[thin]))
    return mask


def _capsule(mask: Array, start: Array, stop: Array, first: float, last: float) -> None:
    """Marks the voxels around one edge from a thicker to a thinner end, looking at its bounding box alone.

    The ball at the thinner end lies inside the capsule.
    """
    low = np.maximum(np.ceil(np.minimum(start, stop) - first), 0).astype(np.intp)
    high = np.minimum(np.floor(np.maximum(start, stop) + first).astype(np.intp) + 1, mask.shape)
    if (high <= low).any():
        return
    along = stop - start
    length2 = float(along @ along)
    z, y, x = (
        np.arange(low[axis], high[axis]).reshape([-1 if axis == each else 1 for each in range(3)])
        - start[axis]
        for axis in range(3)
    )
    away2 = z * z + y * y + x * x
    inside = away2 <= first * first + 1e-9
    if length2 > 0:
        dot = z * along[0] + y * along[1] + x * along[2]
        place = np.clip(dot / length2, 0, 1)
        distance2 = away2 - place * (2 * dot - place * length2)
        inside |= distance2 <= (first + place * (last - first)) ** 2 + 1e-9
    mask[tuple(map(slice, low, high))] |= inside
