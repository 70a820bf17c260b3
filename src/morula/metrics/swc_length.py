"""How much length two traced neurons share, by PyNeval's definition: edges that have a path of their own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array
from morula.metrics.swc import samples_of

__all__ = ["LengthScores", "length_scores"]

_spatial: Any = import_module("scipy.spatial")

_TOUCH = 1e-6  # of an edge's length; two paths may meet in a point


class LengthScores(NamedTuple):
    """Shares of length that both trees have.

    Attributes:
        recall: of the true tree's length, in edges that have a path in the prediction.
        precision: of the predicted tree's length, in those paths.
        f1: their harmonic mean.
    """

    recall: float
    precision: float
    f1: float


class _Foot(NamedTuple):
    """The nearest point on an edge: the edge's lower node, and the share of the way to its parent."""

    edge: int
    share: float


def length_scores(pred: Tree, truth: Tree, *, radius: float = 2.0, slack: float = 0.2) -> LengthScores:
    """PyNeval's length metric: an edge of the truth is found if a path of the prediction runs along it.

    The path leads between the points that are nearest to the edge's ends, on edges within `radius` of these;
    it is as long as the edge up to a share `slack`, and no earlier edge took any part of it.

    Args:
        pred: predicted tree.
        truth: true tree in the same unit.
        radius: largest distance of an end of the edge to the path.
        slack: largest difference of the lengths, as a share of the edge's.

    Source: `length_metric.py` of PyNeval (Zhang et al., 2021), with its static radius.

    >>> line = Tree.of([[0, 0, 0], [0, 0, 6], [0, 0, 12]], [-1, 0, 1])
    >>> length_scores(Tree.of([[0, 1, 0], [0, 1, 12], [0, 1, 24]], [-1, 0, 1]), line)
    LengthScores(recall=1.0, precision=0.5, f1=0.6666666666666666)
    """
    paths = _Paths(pred, radius)
    covered = used = 0.0
    for child, parent in truth.edges.tolist():
        ends = truth.points[child], truth.points[parent]
        length = float(np.linalg.norm(ends[0] - ends[1]))
        taken = paths.take(ends[0], ends[1], length, slack * length)
        if taken is not None:
            covered, used = covered + length, used + taken
    recall = min(covered / truth.length, 1.0) if truth.length else float(not pred.length)
    precision = min(used / pred.length, 1.0) if pred.length else float(not truth.length)
    total = recall + precision
    return LengthScores(recall, precision, 2 * recall * precision / total if total else 0.0)


class _Paths:
    """The paths of a tree, each part of which can be taken once, between points within a radius of it."""

    def __init__(self, tree: Tree, radius: float) -> None:
        self._tree = tree
        child, parent = tree.edges.T
        along = tree.points[parent] - tree.points[child]
        length = np.linalg.norm(along, axis=1)
        solid = length > 0
        self._child, self._along, self._length = child[solid], along[solid], length[solid]
        self._span: dict[int, float] = dict(zip(child.tolist(), length.tolist(), strict=True))
        self._depth: list[int] = []
        parents: list[int] = tree.parent.tolist()
        for above in parents:
            self._depth.append(0 if above < 0 else self._depth[above] + 1)
        self._taken: dict[int, list[tuple[float, float]]] = {}
        self._radius = radius
        samples, self._owner, gap = samples_of(tree.points[self._child], self._along)
        self._index = _spatial.cKDTree(samples)
        self._reach = (radius + gap / 2) * (1 + 1e-9)

    def take(self, start: Array, stop: Array, length: float, slack: float) -> float | None:
        """Length of the first free path that fits, which is not free any more; None where there is none."""
        stops = list(self._near(stop))
        for first in self._near(start):
            for last in stops:
                parts = self._path(first, last, length + slack)
                if parts is None:
                    continue
                found = sum((high - low) * self._span[edge] for edge, low, high in parts)
                if abs(found - length) < slack and self._is_free(parts):
                    for edge, low, high in parts:
                        self._taken.setdefault(edge, []).append((low, high))
                    return found
        return None

    def _near(self, point: Array) -> Iterator[_Foot]:
        """Feet of a point on the edges within the radius, the nearest first."""
        rows = np.unique(self._owner[self._index.query_ball_point(point, self._reach)])
        child, along = self._child[rows], self._along[rows]
        away = point - self._tree.points[child]
        share = np.clip((away * along).sum(axis=1) / np.maximum(self._length[rows] ** 2, 1e-12), 0, 1)
        distance = np.linalg.norm(away - share[:, None] * along, axis=1)
        inside = np.flatnonzero(distance <= self._radius)
        for row in inside[np.argsort(distance[inside], kind="stable")].tolist():
            yield _Foot(int(child[row]), float(share[row]))

    def _path(self, first: _Foot, last: _Foot, longest: float) -> list[tuple[int, float, float]] | None:
        """Parts of edges (lower node, from, to) between two feet; None where none leads, or none so short."""
        if first.edge == last.edge:
            return [(first.edge, min(first.share, last.share), max(first.share, last.share))]
        parent = self._tree.parent
        a, b = first.edge, last.edge
        passed: list[int] = []
        between = 0.0
        while a != b:
            lower = a if self._depth[a] >= self._depth[b] else b
            passed.append(lower)
            a, b = (int(parent[a]), b) if lower == a else (a, int(parent[b]))
            between += self._span.get(lower, 0.0) if lower not in (first.edge, last.edge) else 0.0
            if a < 0 or b < 0 or between > longest:
                return None
        parts: list[tuple[int, float, float]] = []
        for foot in (first, last):
            if foot.edge in passed:
                passed.remove(foot.edge)
                parts.append((foot.edge, foot.share, 1.0))
            else:
                parts.append((foot.edge, 0.0, foot.share))
        return parts + [(edge, 0.0, 1.0) for edge in passed]

    def _is_free(self, parts: list[tuple[int, float, float]]) -> bool:
        return not any(
            min(high, end) - max(low, begin) > _TOUCH
            for edge, low, high in parts
            for begin, end in self._taken.get(edge, ())
        )
