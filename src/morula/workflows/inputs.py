"""What a run reads must not lie where it writes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from morula.core.errors import UsageError

__all__ = ["refuse_inside"]


def refuse_inside(out: Path, *inputs: str | PathLike[str] | None) -> None:
    """Refuses inputs inside of the folder that is written to: they would be replaced before they are read.

    Args:
        out: the run's folder, which need not be there.
        inputs: files and folders; none where there is no such input.

    Raises:
        UsageError: one of them is the folder, or lies in it.
    """
    for each in filter(None, inputs):
        if Path(each).resolve().is_relative_to(out.resolve()):
            found = f"it lies inside of --out {out}, where this command writes"
            raise UsageError(each, found, "copy it to another place, or choose another --out")
