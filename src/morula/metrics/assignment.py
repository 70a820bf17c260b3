"""The Hungarian problem, dense and sparse: a typed border to scipy, whose solvers have no types."""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy.optimize import (  # pyright: ignore[reportMissingTypeStubs]
    linear_sum_assignment,  # pyright: ignore[reportUnknownVariableType]
)
from scipy.sparse import csr_array  # pyright: ignore[reportMissingTypeStubs]
from scipy.sparse.csgraph import (  # pyright: ignore[reportMissingTypeStubs]
    min_weight_full_bipartite_matching,  # pyright: ignore[reportUnknownVariableType]
)

from morula.core.types import Array

__all__ = ["assign_dense", "assign_sparse"]


def assign_dense(costs: Array) -> tuple[Array, Array]:
    """Rows and columns of the one-to-one assignment of least total cost, as large as the smaller side.

    Args:
        costs: `(n, m)` finite cost of each pair.

    >>> assign_dense(np.array([[4.0, 1.0], [2.0, 9.0]]))
    (array([0, 1]), array([1, 0]))
    """
    return cast("tuple[Array, Array]", linear_sum_assignment(costs))


def assign_sparse(rows: Array, columns: Array, weights: Array, shape: tuple[int, int]) -> Array:
    """The one-to-one assignment of largest total weight, among listed pairs; rows and columns may stay alone.

    Every row gets a private column of weight 0, to stay alone; so the assignment becomes a full matching of
    the rows, of least cost, and the work grows with the pairs and not with `shape`.

    Args:
        rows: `(k,)` row of each pair; pairs are sorted by row, then by column, without doubles.
        columns: `(k,)` column of each pair.
        weights: `(k,)` worth of each pair, in (0, 2).
        shape: how many rows and columns there are.

    Returns:
        `(a,)` indices of the chosen pairs, ascending.

    >>> assign_sparse(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.9, 0.8, 0.7]), (2, 2))
    array([1, 2])
    """
    alone = np.arange(shape[0])
    costs = np.concatenate([3.0 - weights, np.full(shape[0], 3.0)])  # all above 0: a stored 0 is no pair
    ends = np.concatenate([rows, alone]), np.concatenate([columns, shape[1] + alone])
    graph = csr_array((costs, ends), shape=(shape[0], shape[1] + shape[0]))
    row, column = cast("tuple[Array, Array]", min_weight_full_bipartite_matching(graph))
    paired = column < shape[1]
    return np.searchsorted(rows * shape[1] + columns, row[paired] * shape[1] + column[paired])
