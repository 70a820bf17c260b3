"""Scores of a traced neuron against a true one: how far apart, and how much of each the other one has."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array
from morula.metrics.counts import Counts

__all__ = [
    "SpatialDistances",
    "SubstantialDistance",
    "Tolerance",
    "distances_to_tree",
    "samples_of",
    "spatial_distances",
    "substantial_distance",
    "tolerance_scores",
]

_spatial: Any = import_module("scipy.spatial")

_NEIGHBOURS = 8  # samples looked at first; where they do not prove the nearest edge, twice as many, and so on


class SpatialDistances(NamedTuple):
    """Distances between two trees as Vaa3D computes them, in the unit of their points; lower is better.

    Attributes:
        esa: entire structure average.
        dsa: different structure average: of the points that are `threshold` or more away.
        pds: percentage of different structure, in [0, 1]: how many these are.
        furthest: the largest distance, of the direction in which it is smaller.
    """

    esa: float
    dsa: float
    pds: float
    furthest: float


class Tolerance(NamedTuple):
    """Shares of length within a tolerance of the other tree.

    Attributes:
        precision: of the predicted tree.
        recall: of the true tree.
        f1: their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


class SubstantialDistance(NamedTuple):
    """PyNeval's SSD metric.

    Attributes:
        distance: mean over both directions of the mean distance of the nodes that have no partner.
        recall: share of true nodes with a partner.
        precision: share of predicted nodes with a partner.
    """

    distance: float
    recall: float
    precision: float


def distances_to_tree(points: Array, tree: Tree) -> Array:
    """Exact distance of every point to the nearest point on any edge of a tree.

    A KD-tree of samples along the edges proposes edges; more are asked for until no other can be nearer.

    Args:
        points: `(n, 3)`, z, y, x.
        tree: in the same unit.

    Returns:
        `(n,)` distances.

    >>> line = Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0])
    >>> distances_to_tree(np.array([[0, 3, 5], [0, 0, 14]]), line).tolist()
    [3.0, 4.0]
    """
    if not len(points) or not len(tree):
        return np.full(len(points), np.inf)
    edges = _edges_and_lone_nodes(tree)
    start, along = tree.points[edges[:, 0]], tree.points[edges[:, 1]] - tree.points[edges[:, 0]]
    samples, owner, gap = samples_of(start, along)
    index = _spatial.cKDTree(samples)
    found = np.full(len(points), np.inf)
    rows, count = np.arange(len(points)), _NEIGHBOURS
    while len(rows):
        count = min(count, len(samples))
        reach, near = index.query(points[rows], k=count)
        reach, near = reach.reshape(len(rows), count), near.reshape(len(rows), count)
        edge = owner[near]
        found[rows] = _to_segments(points[rows, None], start[edge], along[edge]).min(axis=1)
        # the nearest point of any edge has a sample within half a gap of it along the edge
        proven = (reach[:, -1] ** 2 >= found[rows] ** 2 + (gap / 2) ** 2) | (count == len(samples))
        rows, count = rows[~proven], 2 * count
    return found


def spatial_distances(pred: Tree, truth: Tree, *, threshold: float = 2.0) -> SpatialDistances:
    """ESA, DSA and PDS of two trees, as Vaa3D's `neuron_distance` computes them.

    Every edge is sampled at steps of about one unit, both ends included, so joints count more than once.
    Scale the trees first where voxels are not cubes. One tree without edges: infinitely far, PDS 1; both: 0.
    Where a tree has edges, a node of it without any is a point that the other tree can be near to.

    Args:
        pred: predicted tree.
        truth: true tree in the same unit.
        threshold: from this distance on a point counts as different, in the unit of the points.

    Source: Peng et al., Nature Biotechnology 28:348 (2010); `neuron_sim_scores.cpp` of Vaa3D.

    >>> line = Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0])
    >>> spatial_distances(line.moved([0, 3, 0]), line)
    SpatialDistances(esa=3.0, dsa=3.0, pds=1.0, furthest=3.0)
    """
    if not len(pred.edges) or not len(truth.edges):
        nothing = len(pred.edges) == len(truth.edges)
        far = 0.0 if nothing else np.inf
        return SpatialDistances(far, far, 0.0 if nothing else 1.0, far)
    ways = [distances_to_tree(_vaa3d_points(a), b) for a, b in ((pred, truth), (truth, pred))]
    different = [way[way >= threshold] for way in ways]
    return SpatialDistances(
        float(np.mean([way.mean() for way in ways])),
        float(np.mean([each.mean() for each in different if len(each)])) if any(map(len, different)) else 0.0,
        float(np.mean([len(each) / len(way) for each, way in zip(different, ways, strict=True)])),
        float(min(way.max() for way in ways)),
    )


def tolerance_scores(pred: Tree, truth: Tree, tolerance: float, *, spacing: float = 0.5) -> Tolerance:
    """Precision, recall and F1 of length: the share of each tree within a tolerance of the other one.

    Edges are cut into equal pieces; a piece counts by its length, and its middle says whether it matches.
    Of a tree without length the nodes count. Both without nodes: 1. One without nodes: 0.

    Args:
        pred: predicted tree.
        truth: true tree in the same unit; scale both first where voxels are not cubes.
        tolerance: largest distance of a point to the other tree that is a match.
        spacing: longest piece.

    >>> line = Tree.of([[0, 0, 0], [0, 0, 10]], [-1, 0])
    >>> long = Tree.of([[0, 0, 0], [0, 0, 40]], [-1, 0])
    >>> [round(score, 1) for score in tolerance_scores(long, line, 2.0)]
    [0.3, 1.0, 0.5]
    """
    if not len(pred) or not len(truth):
        same = float(len(pred) == len(truth))
        return Tolerance(same, same, same)
    precision, recall = (_share_within(tolerance, a, b, spacing) for a, b in ((pred, truth), (truth, pred)))
    total = precision + recall
    return Tolerance(precision, recall, 2 * precision * recall / total if total else 0.0)


def substantial_distance(
    pred: Tree, truth: Tree, *, threshold: float = 2.0, spacing: float = 2.0
) -> SubstantialDistance:
    """PyNeval's SSD: both trees get nodes along their edges, then each node looks for the nearest node.

    Args:
        pred: predicted tree.
        truth: true tree in the same unit.
        threshold: nodes nearer than this are partners.
        spacing: of the added nodes; the balls at the ends of an edge count as covered.

    Source: `ssd_metric.py` of PyNeval (Zhang et al., 2021), with its static threshold.

    >>> line = Tree.of([[0, 0, 0], [0, 0, 8]], [-1, 0])
    >>> substantial_distance(line.moved([0, 3, 0]), line)
    SubstantialDistance(distance=3.0, recall=0.0, precision=0.0)
    """
    ours, theirs = (_filled(tree, spacing) for tree in (pred, truth))
    sides: list[tuple[float, Counts]] = []
    for nodes, others in ((ours, theirs), (theirs, ours)):
        away = np.asarray(_spatial.cKDTree(others).query(nodes)[0])
        lone = away >= threshold
        matched = int((~lone).sum())
        sides.append((float(away[lone].mean()) if lone.any() else 0.0, Counts(matched, 0, int(lone.sum()))))
    (far_pred, found), (far_truth, covered) = sides
    return SubstantialDistance((far_pred + far_truth) / 2, covered.recall, found.recall)


def _share_within(tolerance: float, tree: Tree, other: Tree, spacing: float) -> float:
    """How much of a tree's length lies within a tolerance of another tree."""
    child, parent = tree.edges.T
    start, along = tree.points[child], tree.points[parent] - tree.points[child]
    length = np.linalg.norm(along, axis=1)
    if not length.any():
        return float((distances_to_tree(tree.points, other) <= tolerance).mean())
    pieces = np.maximum(1, np.ceil(length / spacing)).astype(np.intp)
    edge = np.repeat(np.arange(len(pieces)), pieces)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    middles = start[edge] + ((number + 0.5) / pieces[edge])[:, None] * along[edge]
    near = distances_to_tree(middles, other) <= tolerance
    return float(np.average(near, weights=(length / pieces)[edge]))


def _edges_and_lone_nodes(tree: Tree) -> Array:
    """`(m, 2)` rows; a node without edges is an edge from itself to itself."""
    alone = np.flatnonzero((tree.parent < 0) & (tree.degree == 0))
    return np.concatenate([tree.edges, np.stack([alone, alone], axis=1)])


def samples_of(start: Array, along: Array) -> tuple[Array, Array, float]:
    """Points on edges, to look for edges with a KD-tree: half a gap at most from any place on their edge.

    Args:
        start: `(n, 3)` one end of each.
        along: `(n, 3)` from there to the other.

    Returns:
        `(k, 3)` points, both ends included; the edge of each; the largest gap between neighbours on an edge.
    """
    length = np.linalg.norm(along, axis=1)
    gap = max(float(length.mean()), 1e-9) if len(length) else 0.0
    pieces = np.maximum(1, np.ceil(length / gap)).astype(np.intp)
    owner = np.repeat(np.arange(len(start)), pieces + 1)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces + 1) - (pieces + 1), pieces + 1)
    share = (number / pieces[owner])[:, None]
    return start[owner] + share * along[owner], owner, float((length / pieces).max(initial=0.0))


def _to_segments(points: Array, start: Array, along: Array) -> Array:
    """Distances of points to segments; all arrays broadcast over their leading axes."""
    away = points - start
    length2 = (along * along).sum(axis=-1)
    place = (away * along).sum(axis=-1) / np.where(length2 > 0, length2, 1)
    return np.linalg.norm(away - np.clip(place, 0, 1)[..., None] * along, axis=-1)


def _vaa3d_points(tree: Tree) -> Array:
    """Samples of every edge from the node to its parent, both included where the edge is long enough."""
    child, parent = tree.edges.T
    start, along = tree.points[child], tree.points[parent] - tree.points[child]
    count = (1 + np.linalg.norm(along, axis=1) + 0.5).astype(np.intp)
    edge = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    share = number / np.maximum(count[edge] - 1, 1)
    return start[edge] + share[:, None] * along[edge]


def _filled(tree: Tree, spacing: float) -> Array:
    """`(k, 3)` the nodes, and as many between two as fit `spacing` into the gap between their balls."""
    child, parent = tree.edges.T
    start, along = tree.points[child], tree.points[parent] - tree.points[child]
    gap = np.linalg.norm(along, axis=1) - tree.radius[child] - tree.radius[parent]
    count = np.maximum(gap // spacing, 0).astype(np.intp)
    edge = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    share = (number + 1) / (count[edge] + 1)
    return np.concatenate([tree.points, start[edge] + share[:, None] * along[edge]])
