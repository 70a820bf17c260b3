"""A folder that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morula.core.files import aside_of, atomic_path

__all__ = ["atomic_folder"]


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` when the block ends well, and is removed when not.

    A `folder` that exists is replaced: check first that this is wanted.

    Raises:
        ResourceError: the disk is full or a quota is reached.
        DataError: the parent folder may not be written to.
    """
    aside = aside_of(folder)
    try:
        with atomic_path(folder) as temporary, _removed_on_failure(temporary):
            temporary.mkdir()
            yield temporary
            if folder.exists():
                folder.rename(aside)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
