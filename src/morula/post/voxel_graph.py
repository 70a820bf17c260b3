"""The voxels of a mask as a graph: what shortest paths through a volume are looked for in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from morula.core.types import Array
from morula.post.untyped import sparse

__all__ = ["voxel_graph"]

_HALF = np.array([(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)][14:])
"""One of each pair of opposite neighbours."""


def voxel_graph(inside: Array, cost: Array, size: Sequence[float] = (1.0, 1.0, 1.0)) -> Any:
    """Links between neighbours by face, edge or corner.

    Args:
        inside: `(z, y, x)` bool, False on all six faces.
        cost: `(n,)` of a unit of length in each voxel that is inside, in the order of `np.argwhere`.
        size: of a voxel, z, y, x.

    Returns:
        `(n, n)` sparse; each link once, its length times the mean cost of its ends.

    >>> line = np.pad(np.ones((1, 1, 3), bool), 1)
    >>> voxel_graph(line, np.array([1.0, 1.0, 3.0])).toarray()
    array([[0., 1., 0.],
           [0., 0., 2.],
           [0., 0., 0.]])
    """
    voxels = np.argwhere(inside)
    number = np.full(inside.shape, -1, np.int64)
    number[tuple(voxels.T)] = np.arange(len(voxels))
    rows: list[Array] = []
    columns: list[Array] = []
    lengths: list[Array] = []
    for offset in _HALF:
        other = number[tuple((voxels + offset).T)]
        near = np.flatnonzero(other >= 0)
        step = float(np.linalg.norm(offset * np.asarray(size)))
        rows.append(near)
        columns.append(other[near])
        lengths.append(step * (cost[near] + cost[other[near]]) / 2)
    parts = np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(parts, shape=(len(voxels), len(voxels)))
