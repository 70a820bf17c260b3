"""Fragments or voxels to neurons without a threshold: multicut and mutex watershed."""

from __future__ import annotations

import numpy as np

from morula.core.affinities import NEAREST, Affinities
from morula.core.types import Array
from morula.post.region_graph import RegionGraph
from morula.post.untyped import graphs, grids, multicuts

__all__ = ["multicut", "multicut_costs", "mutex_watershed"]


def multicut(graph: RegionGraph, *, beta: float = 0.5) -> Array:
    """The partition of fragments that cuts the least, by greedy contraction and Kernighan-Lin.

    Args:
        graph: fragments and contacts.
        beta: prior probability of a border: more cuts more.

    Returns:
        `(size + 1,)` int32: the label of each fragment, 1..N without gaps; 0 for 0.

    Raises:
        ValueError: beta is not between 0 and 1.

    Source: Andres et al., ECCV 2012; Keuper et al., ICCV 2015; solvers of bioimage-cpp.
    """
    costs = multicut_costs(graph, beta)
    nodes = graphs.UndirectedGraph.from_unique_edges(graph.size + 1, graph.pairs.astype(np.uint64))
    objective = multicuts.MulticutObjective(nodes, costs)
    multicuts.GreedyAdditiveMulticut().optimize(objective)
    found: Array = np.asarray(multicuts.KernighanLinMulticut().optimize(objective))
    return _numbered(found)


def multicut_costs(graph: RegionGraph, beta: float) -> Array:
    """What cutting each contact costs: positive holds together, negative drives apart.

    log((1 - p) / p) + log((1 - beta) / beta), times the size of the contact over the largest one, with p one
    minus the mean affinity, kept away from 0 and 1 (`compute_edge_costs` of elf).

    Raises:
        ValueError: beta is not between 0 and 1.
    """
    if not 0 < beta < 1:
        raise ValueError(f"beta is a probability between 0 and 1, not {beta}")
    border = 0.998 * (1 - graph.means) + 0.001
    costs: Array = np.log((1 - border) / border) + np.log((1 - beta) / beta)
    return costs * graph.contacts / graph.contacts.max(initial=1)


def mutex_watershed(affinities: Affinities, *, strides: tuple[int, int, int] = (1, 1, 1)) -> Array:
    """Joins voxels by the nearest affinities, strongest first, unless a longer one forbids it.

    Args:
        affinities: with the three nearest offsets, which attract, and longer ones, which keep apart.
        strides: take every n-th repulsive edge along z, y, x.

    Returns:
        `(z, y, x)` int32 labels 1..N.

    Raises:
        KeyError: a nearest offset is missing.
        ValueError: there is no longer offset.

    Source: Wolf et al., "The Mutex Watershed", ECCV 2018; the solver of bioimage-cpp.
    """
    attractive = affinities.attractive()
    longer = [offset for offset in attractive.offsets if offset not in NEAREST]
    if not longer:
        raise ValueError("a mutex watershed needs offsets beyond the nearest")
    repulsion = [1 - attractive.of(offset) for offset in longer]
    weights = np.concatenate([attractive.nearest().values, np.stack(repulsion)]).astype(np.float32)
    found: Array = grids.mutex_watershed(weights, [*NEAREST, *longer], len(NEAREST), strides=list(strides))
    return found.astype(np.int32)


def _numbered(found: Array) -> Array:
    """Labels of the nodes 1, 2, ... in the order of the lowest in each; 0 for node 0."""
    _, firsts, index = np.unique(found[1:], return_index=True, return_inverse=True)
    rank = np.empty(len(firsts), np.int32)
    rank[np.argsort(firsts)] = np.arange(1, len(firsts) + 1)
    return np.concatenate([np.zeros(1, np.int32), rank[index]])
