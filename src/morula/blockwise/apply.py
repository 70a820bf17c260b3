"""A task on every block of a volume, by any executor; what was done before is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import numpy as np

from morula.blockwise.marks import Marks
from morula.core.errors import ResourceError
from morula.core.types import Array

__all__ = ["Advance", "Sink", "Task", "run_blocks"]

Task = Callable[[int], Mapping[str, Array]]
"""Works on the block of an index and returns what there is to tell; picklable where processes do it."""

Advance = Callable[[int], None]
"""Is called in the client with the index of each block that was finished now."""


class Sink(Protocol):
    """What is written by boxes: numpy and `morula.data.ome_zarr.StoredArray` satisfy it."""

    def __setitem__(self, box: Any, values: Any, /) -> None:
        """Writes a box."""
        ...


def run_blocks(
    task: Task,
    count: int,
    executor: Executor,
    *,
    marks: Marks | None = None,
    advance: Advance | None = None,
    ahead: int = 4,
) -> list[dict[str, Array]]:
    """Runs a task for every block that is not marked as done, in any order.

    A task must give the same result whenever it is repeated: it is, when it was killed before its mark.

    Args:
        task: of one block.
        count: how many blocks there are.
        executor: what works on them.
        marks: of what is done, None to do everything.
        advance: called after each block that is not done yet.
        ahead: how many blocks are under way at most.

    Returns:
        What every block told, in the order of the blocks.

    Raises:
        ResourceError: a worker died.
    """
    told: dict[int, dict[str, Array]] = {}
    waiting: dict[Future[dict[str, Array]], int] = {}
    todo = [index for index in range(count) if marks is None or not marks.done(index)]
    left = iter(todo)
    for index in sorted(set(range(count)) - set(todo)):
        assert marks is not None
        told[index] = marks.load(index)
    try:
        while True:
            while len(waiting) < ahead and (index := next(left, None)) is not None:
                waiting[executor.submit(_done, task, index, marks)] = index
            if not waiting:
                return [told[index] for index in range(count)]
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                index = waiting.pop(future)
                told[index] = future.result()
                if advance is not None:
                    advance(index)
    except BrokenProcessPool as error:
        found = "a worker process died, perhaps for want of memory"
        raise ResourceError("--workers", found, "take fewer; repeat the command and it goes on") from error
    finally:
        for future in waiting:
            future.cancel()


def _done(task: Task, index: int, marks: Marks | None) -> dict[str, Array]:
    told = {name: np.asarray(value) for name, value in task(index).items()}
    if marks is not None:
        marks.save(index, told)
    return told
