"""Steps that follow each other on one volume, with one folder for what lies between them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from morula.blockwise.apply import Advance, Task, run_blocks
from morula.blockwise.executors import InlineExecutor, Workers
from morula.blockwise.grid import BlockGrid
from morula.blockwise.marks import Marks
from morula.core.files import aside_of, atomic_path
from morula.core.types import Array
from morula.data.ome_zarr import StoredArray, scratch

__all__ = ["Work"]


def _alone() -> Workers:
    return Workers(InlineExecutor(), 1)


def _quiet(step: str, count: int, before: int) -> Advance:
    del step, count, before
    return _nothing


def _nothing(index: int) -> None:
    del index


@dataclass(frozen=True)
class Work:
    """Where steps keep what they did, and who does them.

    Attributes:
        folder: for marks and scratch arrays; remove it when all is done.
        parts: what decides the result, by name: weights, input and the like.
        team: does the blocks.
        started: is told the name of each step, its number of blocks and how many were done before, and gives
            what counts the others.
        chunk: of scratch arrays; blocks must be multiples of it.
    """

    folder: Path
    parts: dict[str, Any]
    team: Workers = field(default_factory=_alone)
    started: Callable[[str, int, int], Advance] = _quiet
    chunk: tuple[int, ...] = (32, 128, 128)

    def run(self, step: str, task: Task, grid: BlockGrid, **parts: Any) -> list[dict[str, Array]]:
        """Runs a task on every block that is not done yet.

        Args:
            step: its name.
            task: of one block.
            grid: of the blocks.
            parts: what decides this step's result, beside `Work.parts`.

        Returns:
            What every block told.

        Raises:
            UsageError: the step was begun with other parts or another grid.
        """
        marks = Marks.open(self.folder / step, **self.parts, grid=grid, **parts)
        advance = self.started(step, len(grid), sum(map(marks.done, range(len(grid)))))
        executor, ahead = self.team.executor, self.team.ahead
        return run_blocks(task, len(grid), executor, marks=marks, advance=advance, ahead=ahead)

    def array(self, name: str, grid: BlockGrid, dtype: Any, channels: int | None = None) -> StoredArray:
        """A scratch array as large as the grid, with channels before its axes if their number is given."""
        first = () if channels is None else (channels,)
        chunks = tuple(min(a, b) for a, b in zip(self.chunk, grid.block, strict=True))
        grid.check_alignment(chunks)
        return scratch(self._store(name), (*first, *grid.shape), dtype, (*(1 for _ in first), *chunks))

    def pieces(self, name: str, count: int, shape: tuple[int, ...], dtype: Any) -> StoredArray:
        """A scratch array `(count, *shape)` of pieces, each an object of the store."""
        return scratch(self._store(name), (count, *shape), dtype, (1, *shape))

    def drop(self, name: str) -> None:
        """Removes a scratch array that no step needs any more."""
        store = self._store(name)
        if store.exists():
            shutil.rmtree(store.rename(aside_of(store)), ignore_errors=True)

    def table(self, name: str, values: Array) -> str:
        """Keeps an array for the workers, whole or not at all; the path of its `.npy` file."""
        path = self.folder / f"{name}.npy"
        with atomic_path(path) as temporary:
            np.save(temporary, values)
        return str(path)

    def _store(self, name: str) -> Path:
        return self.folder / f"{name}.zarr"
