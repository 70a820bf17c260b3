"""Which patches are hidden: small functions of one kind, any of which can take another's place.

Each gives every patch a rank; the highest ranks are hidden, as many as the ratio says. So the ratio is kept
exactly, whatever the policy. The learned policy is in `policy.py`, for its ratio holds on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from morula.core.types import Array

__all__ = ["RANKS", "Drawn", "Ranks", "at_edges", "blocks", "edge_scores", "evenly", "hidden"]

Drawn = Literal["random", "block", "edge"]
"""The policies that learn nothing."""

Ranks = Callable[[np.random.Generator, Array], Array]
"""A generator and the edge score of each patch `(pz, py, px)` to a rank for each."""

_BIASED = 0.5  # part of the hidden patches that are chosen by their edges
_SHARPNESS, _NOISE = 1.25, 0.05


def hidden(ranks: Array, ratio: float) -> Array:
    """The highest ranks, `ratio` of all, as a mask of the same shape; at least one, never all.

    >>> hidden(np.array([[[0.1, 0.9, 0.5, 0.7]]]), 0.5).tolist()
    [[[False, True, False, True]]]
    """
    count = min(max(round(ratio * ranks.size), 1), ranks.size - 1)
    found = np.zeros(ranks.size, bool)
    found[np.argsort(ranks, axis=None)[::-1][:count]] = True
    return found.reshape(ranks.shape)


def evenly(draw: np.random.Generator, edges: Array) -> Array:
    """Every patch alike (the masked autoencoder of He et al., CVPR 2022)."""
    return draw.random(edges.shape)


def blocks(draw: np.random.Generator, edges: Array) -> Array:
    """Boxes of patches, one after the other, so that a hidden patch cannot be guessed from its neighbours."""
    found = np.zeros(edges.shape)
    free = np.ones(edges.shape, bool)
    while free.any():
        size = [int(draw.integers(1, max(1, length // 2) + 1)) for length in edges.shape]
        start = [
            int(draw.integers(length - part + 1)) for length, part in zip(edges.shape, size, strict=True)
        ]
        box = tuple(slice(at, at + part) for at, part in zip(start, size, strict=True))
        found[box] = np.where(free[box], free.sum() + draw.random(tuple(size)), found[box])
        free[box] = False
    return found


def at_edges(draw: np.random.Generator, edges: Array) -> Array:
    """Half by edge score^1.25 plus a little noise, half evenly: membranes are hidden more often.

    Ranks of the two kinds alternate, so each gives half of the hidden patches, whatever the ratio.
    """
    sharp = edges**_SHARPNESS + _NOISE * draw.random(edges.shape)
    order = np.argsort(sharp, axis=None)[::-1]
    chance = draw.permutation(edges.size)
    found = np.full(edges.size, -1.0)
    rank, first, second = float(edges.size), iter(order.tolist()), iter(chance.tolist())
    while rank > 0:
        source = first if draw.random() < _BIASED else second
        place = next(each for each in source if found[each] < 0)
        found[place] = rank
        rank -= 1
    return found.reshape(edges.shape)


RANKS: Mapping[str, Ranks] = {"random": evenly, "block": blocks, "edge": at_edges}
"""The policies by name."""


def edge_scores(crop: Array, patch: tuple[int, int, int], weights: tuple[float, float, float]) -> Array:
    """Mean absolute difference to the next voxel in each patch, relative to the crop's mean.

    Args:
        crop: `(z, y, x)`, a multiple of the patch along every axis.
        patch: voxels, z, y, x.
        weights: of the axes.

    Returns:
        `(pz, py, px)`.
    """
    steps = sum(
        weight * np.abs(np.diff(crop, axis=axis, append=np.take(crop, [-1], axis=axis)))
        for axis, weight in enumerate(weights)
    )
    (z, y, x), (pz, py, px) = crop.shape, patch
    means = np.asarray(steps).reshape(z // pz, pz, y // py, py, x // px, px).mean(axis=(1, 3, 5))
    return means / max(float(means.mean()), 1e-6)
