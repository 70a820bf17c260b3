"""What is done, block by block, and with what it was done: so that a killed run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import UsageError
from morula.core.files import atomic_path, has_content, write_json, writing
from morula.core.hashing import fingerprint
from morula.core.types import Array

__all__ = ["Marks"]


@dataclass(frozen=True)
class Marks:
    """A folder with a file for each finished block, which holds what the block has to tell.

    Attributes:
        folder: one for each step of the work.
        key: of the weights, the grid, the input and whatever else decides the result.
    """

    folder: Path
    key: str

    @classmethod
    def open(cls, folder: Path, **parts: Any) -> Marks:
        """The marks of a step, new or to be continued.

        Args:
            folder: of the step.
            parts: what decides the result, by name: JSON values and dataclasses.

        Raises:
            UsageError: there are marks of other parts; what differs is named.
            DataError: the folder may not be written to.
        """
        told = {name: fingerprint(part) for name, part in parts.items()}
        made, file = cls(folder, fingerprint(told)), folder / "step.json"
        if not has_content(file):
            with writing(folder):
                for mark in list(folder.glob("*/*.npz")):  # nobody knows what of
                    mark.unlink()
            write_json(file, {"key": made.key, "parts": told})
            return made
        before = json.loads(file.read_text(encoding="utf-8"))
        if before["key"] != made.key:
            names = sorted({*told, *before["parts"]})
            other = [name for name in names if told.get(name) != before["parts"].get(name)]
            found = f"blocks made with another {' and '.join(other)}"
            raise UsageError(folder, found, "repeat what began it, or choose another --out")
        return made

    def done(self, index: int) -> bool:
        """Whether a block is finished."""
        return has_content(self._file(index))

    def save(self, index: int, told: Mapping[str, Array]) -> None:
        """Marks a block as finished; call it once all that the block writes is written.

        Raises:
            ResourceError: the disk is full.
        """
        with atomic_path(self._file(index)) as temporary:
            np.savez(temporary, allow_pickle=False, **told)

    def load(self, index: int) -> dict[str, Array]:
        """What a finished block told."""
        with np.load(self._file(index), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def _file(self, index: int) -> Path:
        return self.folder / f"{index // 1000:06d}" / f"{index:09d}.npz"
