"""`morula data`: public sets, from their names to verified folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from morula.data import sets

__all__ = ["check", "describe", "get"]


def describe(name: str | None = None) -> dict[str, dict[str, Any]]:
    """Title, licence, citation and sources of one set or of all.

    Raises:
        UsageError: there is no set of this name.
    """
    names = list(sets.SETS) if name is None else [name]
    return {key: sets.info(key) for key in names}


def get(name: str, *, offline: bool = False) -> Path:
    """Downloads, verifies and unpacks a set; returns its folder in the cache.

    Raises:
        UsageError: there is no set of this name.
        ResourceError: no network, a wrong checksum, or `offline` without a cached copy.
    """
    return sets.get(name, offline=offline)


def check(name: str) -> dict[str, str]:
    """File name -> what its checksum says, for the cached archives of a set.

    Raises:
        UsageError: there is no set of this name.
    """
    return sets.check(name)
