"""Bridges between the pieces of a mask of thin branches: short ones, and wide ones from end to end."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.post.components import components
from morula.post.untyped import csgraph, ndi, sparse, spatial
from morula.post.voxel_graph import voxel_graph

__all__ = ["bridged", "continued"]

_CHEAP = 0.9  # ways are looked for at any distance through voxels that cost less
_END = 15.0  # pixels around the ends of a gap in which the middles of both pieces are looked for
_AHEAD = 0.5  # of them both ends together lie at least ahead of their middles


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


def continued(mask: Array, piece: Array, gap: float, *, depth: float = 1.0) -> Array:
    """The mask with one straight row of voxels, from an end of a piece to the nearest end that faces it.

    Ends face each other if what is around them lies behind them, seen along the row. So a branch that is
    broken is joined, and one that passes by is not.

    Args:
        mask: `(z, y, x)` bool.
        piece: one component of it.
        gap: widest gap that is bridged, in pixels.
        depth: of a section, in pixels.

    Returns:
        `(z, y, x)` bool; the mask itself where no end faces one of the piece.

    >>> line = np.zeros((1, 9, 40), bool)
    >>> line[0, 4, :10] = line[0, 4, 25:] = line[0, 0, :] = True
    >>> piece = line & (np.arange(40) < 10) & (np.arange(9) == 4)[:, None]
    >>> bool(continued(line, piece, 20.0)[0, 4].all())
    True
    """
    scale = np.array([depth, 1.0, 1.0])
    ours, theirs = np.argwhere(piece), np.argwhere(mask & ~piece)
    if not len(theirs):
        return mask
    index = spatial.cKDTree(ours * scale)
    away, nearest = index.query(theirs * scale, distance_upper_bound=gap)
    owner = components(mask)[tuple(theirs.T)]
    tried: set[int] = set()
    for row in np.argsort(away, kind="stable")[: np.count_nonzero(np.isfinite(away))].tolist():
        if int(owner[row]) in tried:
            continue
        tried.add(int(owner[row]))
        start, end = ours[nearest[row]], theirs[row]
        way = (end - start) * scale / away[row]
        behind = _middle(theirs[owner == owner[row]], end, scale) - _middle(ours, start, scale)
        if behind @ way >= _AHEAD * _END:
            joined = mask.copy()
            count = int(np.abs(end - start).max()) + 1
            joined[tuple(np.round(np.linspace(start, end, count)).astype(np.intp).T)] = True
            return joined
    return mask


def _middle(voxels: Array, end: Array, scale: Array) -> Array:
    """Of what of a piece is around one of its voxels, seen from there, in pixels."""
    away = (voxels - end) * scale
    middle: Array = away[np.linalg.norm(away, axis=1) <= _END].mean(axis=0)
    return middle
