"""Finding the files of a set in the folder that its archives were unpacked into."""

from __future__ import annotations

from pathlib import Path

from morula.core.errors import DataError, UsageError
from morula.data.sets.public_set import PublicSet

__all__ = ["chosen", "inside", "not_found"]


def chosen(public: PublicSet, split: str) -> None:
    """Refuses a split that the set does not have.

    Raises:
        UsageError: there is no such split.
    """
    if split not in public.splits:
        raise UsageError(
            split, f"no such split of {public.name}", f"choose one of {', '.join(public.splits)}"
        )


def inside(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern at any depth, sorted, without what macOS adds to archives."""
    found = (path for path in folder.rglob(pattern) if path.is_file())
    return sorted(path for path in found if "__MACOSX" not in path.parts and not path.name.startswith("."))


def not_found(public: PublicSet, root: Path, what: str) -> DataError:
    """The error of a set that is not, or not fully, under `root`."""
    return DataError(root, f"no {what} of {public.title} here", f"run `morula data get {public.name}`")
