"""Short bridges between the pieces of a mask of thin branches."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.post.components import components
from morula.post.untyped import csgraph, ndi, sparse
from morula.post.voxel_graph import voxel_graph

__all__ = ["bridged"]

_CHEAP = 0.9  # ways are looked for at any distance through voxels that cost less


def bridged(mask: Array, gap: float, *, depth: float = 1.0, cost: Array | None = None) -> Array:
    """The mask with a row of voxels between pieces that are near, as few rows as join them all.

    Args:
        mask: `(z, y, x)` bool.
        gap: widest gap that is bridged, in pixels.
        depth: of a section, in pixels.
        cost: `(z, y, x)` in (0, 1], how much of its length a way through a voxel counts, or infinity where
            none leads through; 1 everywhere if None.

    Returns:
        `(z, y, x)` bool.

    >>> bridged(np.array([[[1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]]]), 4.0)[0, 0].astype(int)
    array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1])
    """
    labels = components(mask)
    count = int(labels.max(initial=0))
    joined = labels > 0
    if gap <= 0 or count < 2:
        return joined
    price = np.ones(mask.shape, np.float32) if cost is None else cost
    far: Array = ndi.distance_transform_edt(~joined, sampling=(depth, 1, 1))
    cheap = (price < _CHEAP) & (far <= gap / 2 / max(float(price.min()), 1e-3))  # further none leads
    ways = np.pad(((far <= gap / 2) | cheap) & ~ndi.binary_erosion(joined), 1)
    voxels = tuple((np.argwhere(ways) - 1).T)
    graph = voxel_graph(ways, price[voxels], (depth, 1.0, 1.0))
    owner = labels[voxels]
    away, before, source = csgraph.dijkstra(
        graph,
        directed=False,
        indices=np.flatnonzero(owner),
        min_only=True,
        return_predecessors=True,
        limit=gap / 2,
    )
    links = graph.tocoo()
    ends = np.stack([links.row, links.col], axis=1)
    length = away[ends].sum(axis=1) + links.data
    reached = length <= gap
    ends, length = ends[reached], length[reached]
    owners = owner[source[ends]] - 1
    apart = owners[:, 0] != owners[:, 1]
    for row in _nearest(owners[apart], length[apart], count).tolist():
        for end in ends[apart][row].tolist():
            while end >= 0:
                joined[tuple(axis[end] for axis in voxels)] = True
                end = int(before[end])
    return joined


def _nearest(owners: Array, length: Array, count: int) -> Array:
    """Rows of the pairs on a minimal spanning forest of the pieces."""
    if not len(owners):
        return np.zeros(0, np.intp)
    order = np.argsort(length, kind="stable")
    low, high = np.sort(owners[order], axis=1).T
    _, first = np.unique(low * count + high, return_index=True)
    chosen = order[first]
    ends = low[first], high[first]
    forest = csgraph.minimum_spanning_tree(sparse.csr_array((length[chosen], ends), shape=(count, count)))
    kept = set(zip(*(each.tolist() for each in forest.nonzero()), strict=True))
    rows = [row for row, pair in zip(chosen.tolist(), zip(*ends, strict=True), strict=True) if pair in kept]
    return np.array(rows, np.intp)
