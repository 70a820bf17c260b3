"""What predictions by blocks share: where they may write, with what, and how they tell of it."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import DataError, UsageError
from morula.core.hashing import file_sha256

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check_out", "steps_of", "threads_of", "weights_of"]


def check_out(out: Path) -> None:
    """Refuses a store that cannot be made.

    Raises:
        UsageError: there is something.
        DataError: the folder may not be written to.
    """
    if out.exists():
        raise UsageError(out, "there is something already", "choose another --out, or move it away")
    parent = next(each for each in out.absolute().parents if each.exists())
    if not os.access(parent, os.W_OK):
        raise DataError(parent, "no permission to write here", "choose another --out")


def weights_of(run: Path) -> list[str]:
    """What identifies the model of a run."""
    return [file_sha256(file) for file in sorted((run / "model").iterdir()) if file.is_file()]


def threads_of(workers: int) -> int:
    """Cores for each worker."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


def steps_of(console: Console | None, voxels: int, stack: ExitStack) -> Any:
    """What tells of each step: a bar with blocks, time left, memory and megavoxels a second.

    Args:
        console: where it goes, None for nowhere.
        voxels: of the whole.
        stack: that closes the last bar.
    """
    bars = ExitStack()
    stack.enter_context(bars)

    def started(step: str, count: int) -> Any:
        bars.close()
        return bars.enter_context(_bar(console, step, count, voxels / count))

    return started


@contextmanager
def _bar(console: Console | None, step: str, count: int, voxels: float) -> Generator[Any]:
    import psutil
    from rich.console import Console

    from morula.engine import progress

    process, began, done = psutil.Process(), time.monotonic(), 0
    with progress(console or Console(quiet=True), step, count) as advance:

        def told(index: int) -> None:
            nonlocal done
            del index
            done += 1
            speed = done * voxels / 1e6 / max(time.monotonic() - began, 1e-6)
            advance({"Mvoxel/s": speed, "GB": process.memory_info().rss / 1e9})

        yield told
