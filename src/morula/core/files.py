"""Writing whole files or nothing: to a temporary name first, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from morula.core.errors import DataError, ResourceError

__all__ = [
    "aside_of",
    "atomic_path",
    "has_content",
    "is_full",
    "remove_partial",
    "write_json",
    "write_text",
    "writing",
]

_FULL = ("No space left on device", "os error 28", "os error 122", "Disk quota exceeded", "unexpected pos")
"""Of the errors that safetensors and torch raise when a disk is full; the last is torch's."""


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when not.

    Raises:
        ResourceError: the disk is full or a quota is reached.
        DataError: the folder may not be written to, or a file is in its place.
    """
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}.part{path.suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Removes what `atomic_path` left in a folder when the process was killed: files, and folders."""
    for each in list(folder.glob(".*.part*")):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Says what is wrong with the disk or the folder where `path` cannot be written.

    Raises:
        ResourceError: the disk is full or a quota is reached.
        DataError: the folder may not be written to, or is a file.
    """
    try:
        yield
    except Exception as error:
        if is_full(error):
            free = shutil.disk_usage(_existing_parent(path)).free
            found = f"the disk is full ({free / 1e6:.0f} MB free)"
            raise ResourceError(path, found, "free some space and repeat the command") from error
        if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            found = "no permission to write here"
            raise DataError(path, found, "choose another folder with --out") from error
        if isinstance(error, (NotADirectoryError, FileExistsError)):
            file = next((each for each in (path, *path.parents) if each.is_file()), path)
            raise DataError(file, "a file, and no folder", "choose another folder with --out") from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether the disk is full or a quota is reached; torch and safetensors say so in words alone."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    return any(words in str(error) for words in _FULL)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + os.linesep)


def has_content(path: Path) -> bool:
    """Whether a file is there and something is in it: when the power fails, a new one may be left empty."""
    return path.is_file() and path.stat().st_size > 0


def aside_of(folder: Path) -> Path:
    """A hidden name beside a folder that is to go: renamed first, it is never met half removed."""
    return folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.old")


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())
