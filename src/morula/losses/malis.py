"""MALIS: an affinity counts for as many pairs of voxels as it decides about.

Two voxels are joined by the path whose weakest affinity is the strongest of all paths. That one affinity, the
maximin edge of the pair, decides whether thresholded affinities join the two. It lies on the maximum spanning
tree: the edge with which Kruskal's algorithm joins two trees is that of all pairs between them.

    joined_e    pairs of one object whose maximin edge is e, in the graph of edges within objects
    parted_e    pairs of two objects whose maximin edge is e, with all edges within objects set to 1
    L = sum_e joined_e (1 - p_e)^2 / sum joined  +  sum_e parted_e p_e^2 / sum parted        over one volume

Turaga et al., "Maximin affinity learning of image segmentation", NIPS 2009 (arXiv 0911.5372), count pairs in
one graph, where errors inside an object hide those at its border. The two constrained passes are those of
Funke et al., "Large scale image segmentation with structured loss based deep learning for connectome
reconstruction", TPAMI 2018 (arXiv 1709.02974).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from morula.core.affinities import Affinities, Offset, edge
from morula.core.types import Array

__all__ = ["Pairs", "malis", "malis_weights", "maximin_pairs"]

sparse: Any = import_module("scipy.sparse")  # without types, as `morula.post.untyped` says
csgraph: Any = import_module("scipy.sparse.csgraph")


class Pairs(NamedTuple):
    """How much each affinity counts.

    Attributes:
        joined: `(c, z, y, x)` for pairs within objects; 0 but where the truth is 1.
        parted: the same shape, for pairs of different objects; 0 but where the truth is 0.
    """

    joined: Array
    parted: Array


class _Edges(NamedTuple):
    """Neighbours, all arrays `(e,)`: two voxels, where the affinity stands, whether one object holds both."""

    one: Array
    other: Array
    place: Array
    within: Array


def maximin_pairs(affinities: Affinities, labels: Array) -> Pairs:
    """How many pairs of voxels each affinity decides about, in both constrained passes.

    Voxels without an object are in no pair, but paths lead through them, for that is how neurons merge. Paths
    do not lead through unlabelled voxels. Pairs that no path joins count nowhere, and pairs of one object
    that is in two parts here neither. Of equal affinities those of earlier channels and voxels come first.

    The cost of n voxels is O(n log n), for the sorted edges and the spanning tree; of it, the pass over the
    n - 1 edges of the tree is plain Python, on one core, whatever the device.

    Args:
        affinities: predicted, each offset to a direct neighbour.
        labels: `(z, y, x)` of whole numbers, 0 = no object, below 0 = not labelled.

    Returns:
        Whole numbers, int64, up to n^2 / 4 for n voxels.

    Raises:
        ValueError: an offset that does not lead to a direct neighbour, or labels of another shape.
    """
    _check(affinities.offsets, labels.shape, affinities.shape)
    edges = _edges(affinities, labels)
    tree = _maximum_tree(edges, labels.size)
    found = np.zeros((2, affinities.values.size), np.int64)
    numbers = np.unique(labels, return_inverse=True)[1].ravel()
    joined, parted = _kruskal(tree, np.where(labels.ravel() > 0, numbers, -1).tolist())
    found[0, tree.place[tree.within]] = joined
    found[1, tree.place[~tree.within]] = parted
    return Pairs(*found.reshape(2, *affinities.values.shape))


def malis_weights(affinities: Affinities, labels: Array) -> Pairs:
    """The weights of the loss: `maximin_pairs`, each of the two divided by its sum; cost and errors as there.

    Args:
        affinities: predicted, each offset to a direct neighbour.
        labels: `(z, y, x)` of whole numbers, 0 = no object, below 0 = not labelled.

    Returns:
        Float64; each sums to 1, or to 0 where there is no such pair.
    """
    counts = maximin_pairs(affinities, labels)
    return Pairs(*(each / max(each.sum(), 1) for each in counts))


def malis(probability: Tensor, labels: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """The constrained MALIS loss: squared errors, weighted by the pairs of voxels that they decide about.

    The weights are no function to be differentiated: the gradient is 2 w (p - t), as published. They are
    found on the CPU, sample by sample, and cost what `maximin_pairs` says for each.

    Args:
        probability: `(b, c, z, y, x)` in [0, 1], after the sigmoid, 1 = one object.
        labels: `(b, z, y, x)` of whole numbers, 0 = no object, below 0 = not labelled.
        offsets: of the c channels, each to a direct neighbour.

    Returns:
        A scalar in [0, 2], the mean over the batch.

    Raises:
        ValueError: an offset that does not lead to a direct neighbour, or shapes that do not fit.

    Source: Funke et al., TPAMI 2018 (arXiv 1709.02974), with both passes normalised by their pairs.
    """
    maps, truth = probability.detach().cpu().numpy(), labels.cpu().numpy()
    if len(maps) != len(truth):
        raise ValueError(f"{len(truth)} volumes of labels for {len(maps)} of affinities")
    weights = [
        malis_weights(Affinities(each, tuple(offsets)), known)
        for each, known in zip(maps, truth, strict=True)
    ]
    joined, parted = (
        torch.from_numpy(np.stack(each)).to(probability.device, probability.dtype)
        for each in zip(*weights, strict=True)
    )
    return (joined * (1 - probability) ** 2 + parted * probability**2).sum() / len(probability)


def _check(offsets: Sequence[Offset], labelled: tuple[int, ...], shape: tuple[int, ...]) -> None:
    far = [each for each in offsets if sum(map(abs, each)) != 1]
    if far:
        raise ValueError(f"MALIS takes affinities to direct neighbours alone, not to {far[0]}")
    if labelled != shape:
        raise ValueError(f"labels of the shape {labelled} for affinities of {shape}")


def _edges(affinities: Affinities, labels: Array) -> _Edges:
    """Edges between labelled voxels: those within objects first, then the others; the strongest first."""
    values = affinities.attractive().values
    voxels = np.arange(labels.size).reshape(labels.shape)
    places = np.arange(values.size).reshape(values.shape)
    boxes = [(number, *edge(offset, labels.shape)) for number, offset in enumerate(affinities.offsets)]
    one = np.concatenate([voxels[here].ravel() for _, here, _ in boxes])
    other = np.concatenate([voxels[there].ravel() for _, _, there in boxes])
    place = np.concatenate([places[number][here].ravel() for number, here, _ in boxes])
    flat = labels.ravel()
    within = (flat[one] == flat[other]) & (flat[one] > 0)
    order = np.lexsort((place, -values.ravel()[place].astype(float), ~within))
    order = order[((flat[one] >= 0) & (flat[other] >= 0))[order]]
    return _Edges(one[order], other[order], place[order], within[order])


def _maximum_tree(edges: _Edges, size: int) -> _Edges:
    """Its edges, in the same order.

    With edges within objects first, one tree serves both passes: of these it holds the maximum spanning
    tree of each object, and of the others that of the graph whose objects are contracted. Ranks in the place
    of affinities leave no ties, and no 0, which a sparse matrix would not store.
    """
    ranks = np.arange(1, len(edges.place) + 1, dtype=float)
    graph = sparse.coo_array((ranks, (edges.one, edges.other)), shape=(size, size)).tocsr()
    kept = np.sort(csgraph.minimum_spanning_tree(graph).data).astype(np.int64) - 1
    return _Edges(*(each[kept] for each in edges))


def _kruskal(tree: _Edges, objects: list[int]) -> tuple[list[int], list[int]]:
    """The pairs of each edge of the tree, of those within objects and of the others.

    Args:
        tree: in the order in which its edges join what is apart.
        objects: of each voxel, below 0 where it is in no pair.
    """
    root, size = list(range(len(objects))), [int(number >= 0) for number in objects]
    held = [{number: 1} if number >= 0 else {} for number in objects]
    joined: list[int] = []
    parted: list[int] = []
    for one, other, within in zip(tree.one.tolist(), tree.other.tolist(), tree.within.tolist(), strict=True):
        a, b = _found(root, one), _found(root, other)
        less, more = sorted((held[a], held[b]), key=len)
        same = sum(count * more.get(number, 0) for number, count in less.items())
        if within:
            joined.append(same)
        else:
            parted.append(size[a] * size[b] - same)
        for number, count in less.items():
            more[number] = more.get(number, 0) + count
        root[a], size[b], held[b] = b, size[a] + size[b], more
    return joined, parted


def _found(root: list[int], voxel: int) -> int:
    """The root of a voxel's tree; the way there is halved as it is gone."""
    while root[voxel] != voxel:
        root[voxel] = root[root[voxel]]
        voxel = root[voxel]
    return voxel
