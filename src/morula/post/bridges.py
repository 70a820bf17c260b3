"""Short straight bridges between the pieces of a mask of thin branches."""

from __future__ import annotations

import numpy as np

from morula.core.types import Array
from morula.post.components import components
from morula.post.untyped import csgraph, ndi, sparse, spatial

__all__ = ["bridged"]


def bridged(mask: Array, gap: float, *, depth: float = 1.0) -> Array:
    """The mask with a line of voxels between pieces that are near, as few lines as join them all.

    Args:
        mask: `(z, y, x)` bool.
        gap: widest gap that is bridged, in pixels.
        depth: of a section, in pixels.

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
    surface = np.argwhere(joined & ~np.asarray(ndi.binary_erosion(joined)))
    owner = labels[tuple(surface.T)] - 1
    places = surface * (depth, 1, 1)
    pairs = spatial.cKDTree(places).query_pairs(gap, output_type="ndarray")
    pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
    if not len(pairs):
        return joined
    length = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    for first, last in pairs[_nearest(owner[pairs], length, count)].tolist():
        start, stop = surface[first], surface[last]
        share = np.linspace(0, 1, int(np.abs(stop - start).max()) + 1)[:, None]
        joined[tuple(np.round(start + share * (stop - start)).astype(np.intp).T)] = True
    return joined


def _nearest(owners: Array, length: Array, count: int) -> Array:
    """Rows of the pairs on a minimal spanning forest of the pieces."""
    order = np.argsort(length, kind="stable")
    low, high = np.sort(owners[order], axis=1).T
    _, first = np.unique(low * count + high, return_index=True)
    chosen = order[first]
    ends = low[first], high[first]
    forest = csgraph.minimum_spanning_tree(sparse.csr_array((length[chosen], ends), shape=(count, count)))
    kept = set(zip(*(each.tolist() for each in forest.nonzero()), strict=True))
    rows = [row for row, pair in zip(chosen.tolist(), zip(*ends, strict=True), strict=True) if pair in kept]
    return np.array(rows, np.intp)
