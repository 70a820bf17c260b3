"""A traced neuron: nodes with radii, each joined to the one before it on the way to a root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from morula.core.types import Array

__all__ = ["Tree"]


@dataclass(frozen=True, eq=False)
class Tree:
    """Nodes in an order in which parents come before their children; several roots make a forest.

    Attributes:
        points: `(n, 3)` float64, z, y, x; in voxels unless a function says otherwise.
        radius: `(n,)` float64, in the unit of x.
        parent: `(n,)` row of the node before, -1 at a root.
        kind: `(n,)` as SWC numbers them: 0 undefined, 1 soma, 2 axon, 3 dendrite, 4 apical dendrite.

    >>> tree = Tree.of([[0, 0, 0], [0, 0, 3], [0, 4, 3]], [-1, 0, 1])
    >>> tree.length, tree.tips.tolist(), tree.roots.tolist()
    (7.0, [2], [0])
    """

    points: Array
    radius: Array
    parent: Array
    kind: Array

    def __post_init__(self) -> None:
        count = len(self.points)
        if self.points.shape != (count, 3):
            raise ValueError(f"points must be (n, 3), not {self.points.shape}")
        if not len(self.radius) == len(self.parent) == len(self.kind) == count:
            raise ValueError(f"{count} points, {len(self.radius)} radii, {len(self.parent)} parents")
        if (self.parent >= np.arange(count)).any() or (self.parent < -1).any():
            raise ValueError("a parent must come before its children, and -1 marks a root")

    @classmethod
    def of(
        cls, points: object, parent: Sequence[int] | Array, radius: object = 1.0, kind: object = 0
    ) -> Tree:
        """A tree from anything numpy can read; one radius and one kind may stand for all nodes."""
        places = np.asarray(points, np.float64).reshape(-1, 3)
        count = len(places)
        return cls(
            places,
            np.broadcast_to(np.asarray(radius, np.float64), (count,)).copy(),
            np.asarray(parent, np.intp).reshape(count),
            np.broadcast_to(np.asarray(kind, np.int64), (count,)).copy(),
        )

    def __len__(self) -> int:
        return len(self.points)

    @property
    def roots(self) -> Array:
        """Rows of the nodes without a parent."""
        return np.flatnonzero(self.parent < 0)

    @property
    def edges(self) -> Array:
        """`(m, 2)` rows of a node and its parent."""
        child = np.flatnonzero(self.parent >= 0)
        return np.stack([child, self.parent[child]], axis=1)

    @property
    def degree(self) -> Array:
        """`(n,)` how many children each node has."""
        return np.bincount(self.parent[self.parent >= 0], minlength=len(self))

    @property
    def tips(self) -> Array:
        """Rows of the nodes where a branch ends; a root without children is one, too."""
        return np.flatnonzero(self.degree == 0)

    @property
    def branch_points(self) -> Array:
        """Rows of the nodes with two children or more."""
        return np.flatnonzero(self.degree >= 2)

    @property
    def length(self) -> float:
        """Sum of the lengths of all edges."""
        child, parent = self.edges.T
        return float(np.linalg.norm(self.points[child] - self.points[parent], axis=1).sum())

    def sampled(self, spacing: float = 1.0) -> Array:
        """`(k, 3)` points along every edge, at most `spacing` apart, each node among them.

        >>> Tree.of([[0, 0, 0], [0, 0, 2]], [-1, 0]).sampled().tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 1.0]]
        """
        child, parent = self.edges.T
        start, stop = self.points[child], self.points[parent]
        pieces = np.maximum(1, np.ceil(np.linalg.norm(stop - start, axis=1) / spacing)).astype(np.intp)
        edge = np.repeat(np.arange(len(pieces)), pieces)
        number = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        share = (number / pieces[edge])[:, None]
        return np.concatenate([self.points[self.roots], start[edge] * (1 - share) + stop[edge] * share])

    def scaled(self, factors: Sequence[float]) -> Tree:
        """The same with every coordinate multiplied, z, y, x; radii go with x."""
        factor = np.asarray(factors, np.float64)
        return replace(self, points=self.points * factor, radius=self.radius * factor[2])

    def moved(self, offset: Sequence[float] | Array) -> Tree:
        """The same with an offset z, y, x added to every point."""
        return replace(self, points=self.points + np.asarray(offset, np.float64))

    def kept(self, keep: Array) -> Tree:
        """The nodes that a mask `(n,)` names; a node whose parent goes becomes a root."""
        place = np.where(keep, np.cumsum(keep) - 1, -1)
        above = np.where(self.parent >= 0, place[np.maximum(self.parent, 0)], -1)
        return Tree(self.points[keep], self.radius[keep], above[keep], self.kind[keep])
