"""Scores of volumes of any size, from tables of overlaps that are counted by blocks and summed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, fields

import numpy as np

from morula.blockwise.apply import run_blocks
from morula.blockwise.grid import BlockGrid
from morula.core.types import Array, ArraySource
from morula.metrics import Counts, Overlap, overlap, pooled

__all__ = ["overlap_by_blocks", "slices_by_blocks"]


def overlap_by_blocks(
    pred: ArraySource, truth: ArraySource, grid: BlockGrid, executor: Executor, *, ahead: int = 4
) -> Overlap:
    """The table of two label volumes; every score that is made from it equals the one in memory.

    Args:
        pred: predicted labels, integers, 0 = background.
        truth: true labels of the same shape.
        grid: of the blocks; its halo is not used.
        executor: counts them.
        ahead: how many blocks are under way at most.

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.
    """
    _check_shapes(pred, truth)
    told = run_blocks(_Count(pred, truth, grid), len(grid), executor, ahead=ahead)
    return pooled(Overlap(**{**each, "size": int(each["size"])}) for each in told)


def slices_by_blocks(
    pred: ArraySource, truth: ArraySource, grid: BlockGrid, executor: Executor, *, ahead: int = 4
) -> list[Counts]:
    """The foreground pixels of each section of two volumes that were found, invented and missed.

    Args:
        pred: predicted labels `(z, y, x)`, integers, 0 = background.
        truth: true labels of the same shape.
        grid: of the blocks; its halo is not used.
        executor: counts them.
        ahead: how many blocks are under way at most.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(pred, truth)
    told = run_blocks(_CountSections(pred, truth, grid), len(grid), executor, ahead=ahead)
    counts = np.zeros((grid.shape[0], 3), np.int64)
    for box, each in zip(grid, told, strict=True):
        counts[box[0]] += each["sections"]
    return [Counts(*row) for row in counts.tolist()]


def _check_shapes(pred: ArraySource, truth: ArraySource) -> None:
    if tuple(pred.shape) != tuple(truth.shape):
        raise ValueError(f"prediction and truth differ in shape: {pred.shape} and {truth.shape}")


@dataclass(frozen=True)
class _CountSections:
    pred: ArraySource
    truth: ArraySource
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = self.grid.write(index)
        found, expected = np.asarray(self.pred[box]) > 0, np.asarray(self.truth[box]) > 0
        kinds = (found & expected, found & ~expected, ~found & expected)
        return {"sections": np.stack([np.count_nonzero(each, axis=(1, 2)) for each in kinds], axis=1)}


@dataclass(frozen=True)
class _Count:
    pred: ArraySource
    truth: ArraySource
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = self.grid.write(index)
        table = overlap(np.asarray(self.pred[box]), np.asarray(self.truth[box]))
        return {each.name: np.asarray(getattr(table, each.name)) for each in fields(table)}
