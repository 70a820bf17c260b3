"""What the tests of blockwise work share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["files_of", "same_partition"]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store, by its name in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label volumes are equal but for the numbers, and 0 is 0 in both."""
    pairs = np.unique(np.stack([one.ravel().astype(np.int64), other.ravel().astype(np.int64)]), axis=1)
    distinct = all(len(np.unique(row)) == pairs.shape[1] for row in pairs)
    return distinct and bool(((pairs[0] == 0) == (pairs[1] == 0)).all())
