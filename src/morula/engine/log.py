"""What a training says: bars on a terminal, a line per tenth in a log, and metrics as JSON lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from morula.core.files import writing

__all__ = ["Advance", "append_metrics", "progress", "read_metrics"]

Advance = Callable[[Mapping[str, float]], None]


@contextmanager
def progress(console: Console, label: str, total: int, *, start: int = 0) -> Generator[Advance]:
    """A bar with the time left on a terminal, elsewhere a line per tenth; call what it gives once a step."""
    if total <= 0:
        yield _ignore
    elif console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(label, total=total, completed=start, note="")
            yield lambda metrics: bar.update(task, advance=1, note=_note(metrics))
    else:
        yield _line_per_tenth(console, label, total, start)


def append_metrics(path: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Adds one JSON line, `{"step": ..., name: value}`."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")


def read_metrics(path: Path) -> dict[str, list[float]]:
    """The logged curves by name; of steps that were run twice after a resume, the last counts.

    Lines that a stopped process left in pieces are passed over.

    Args:
        path: a file that `append_metrics` wrote; a missing one gives no curves.
    """
    if not path.exists():
        return {}
    lines = map(_read, path.read_text(encoding="utf-8", errors="replace").splitlines())
    rows = {row["step"]: row for row in lines if row is not None}
    names = {name for row in rows.values() for name in row}
    return {name: [rows[step][name] for step in sorted(rows) if name in rows[step]] for name in sorted(names)}


def _read(line: str) -> dict[str, float] | None:
    """A line, or of two that a stop has run together the second."""
    try:
        return json.loads(line[line.rfind('{"step"') :])
    except json.JSONDecodeError:
        return None


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def _line_per_tenth(console: Console, label: str, total: int, start: int) -> Advance:
    began, done = time.monotonic(), start

    def advance(metrics: Mapping[str, float]) -> None:
        nonlocal done
        done += 1
        if done * 10 // total > (done - 1) * 10 // total:
            elapsed = time.monotonic() - began
            left = elapsed / (done - start) * (total - done)
            console.print(
                f"{label}: {done}/{total}, {elapsed:.0f} s, {left:.0f} s left {_note(metrics)}",
                highlight=False,
            )

    return advance


def _note(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _ignore(metrics: Mapping[str, float]) -> None:
    """No steps, nothing to show."""
