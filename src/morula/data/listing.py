"""What a folder holds: its visible files, in the order that a person would give them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from morula.core.errors import DataError

__all__ = ["natural", "of_kinds", "visible", "what_else"]


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sorts `cell2` before `cell10`.

    >>> sorted([Path("a10.png"), Path("a2.png")], key=natural)[0].name
    'a2.png'
    """
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def visible(folder: Path) -> list[Path]:
    """What is in a folder, without hidden files and what macOS adds to archives; in natural order.

    Raises:
        DataError: no permission.
    """
    try:
        inside = [item for item in folder.iterdir() if not item.name.startswith((".", "__MACOSX"))]
    except PermissionError as error:
        raise DataError(folder, "no permission to list this folder", "change its permissions") from error
    return sorted(inside, key=natural)


def of_kinds(inside: Sequence[Path], suffixes: Collection[str]) -> list[Path]:
    """The files among `inside` that have one of the `suffixes`, upper case or lower."""
    return [item for item in inside if item.suffix.lower() in suffixes and item.is_file()]


def what_else(inside: Sequence[Path], wanted: str = "images") -> str:
    """What to tell of a folder in which nothing `wanted` is."""
    if not inside:
        return "the folder is empty"
    folders = sorted(item.name for item in inside if item.is_dir())
    if folders:
        return f"no {wanted} here, only the subfolders {', '.join(folders[:5])}"
    kinds = sorted({item.suffix or item.name for item in inside})
    return f"no {wanted} here, only {', '.join(kinds[:5])} files"
