"""`morula data`: public sets, from their names to verified folders."""

from __future__ import annotations

from math import isclose
from pathlib import Path
from typing import Any

from morula.data import sets
from morula.metrics.morphology import area_ratio, solidity

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
    """What the checksum says of each cached archive of a set, and what its labels measure.

    Where all archives are whole and a measure of the labels' shape was published, it is taken again: a wrong
    half, a swapped split or a mask that was read as empty is found by it.

    Returns:
        File name or measure -> "ok", "missing" or what is wrong.

    Raises:
        UsageError: there is no set of this name.
        DataError: the archives are whole, but what was unpacked of them is not.
    """
    found = sets.check(name)
    if all(state.startswith("ok") for state in found.values()):
        for published in sets.SETS[name].morphology:
            found |= _measured(name, published)
    return found


def _measured(name: str, published: sets.Morphology) -> dict[str, str]:
    (record,) = sets.records(name, published.split)
    if record.labels is None:
        return {}
    mask = record.labels()
    tissue = None if published.growth is None else record.image.read() > 0
    ratio = area_ratio(mask, tissue=tissue, growth=published.growth or 0.0)
    found = {f"area ratio of {published.split}": _compared(ratio, published.area_ratio, published)}
    if published.solidity is not None:
        compared = _compared(solidity(mask), published.solidity, published)
        found[f"solidity of {published.split}"] = compared
    return found


def _compared(measured: float, wanted: float, published: sets.Morphology) -> str:
    if isclose(measured, wanted, rel_tol=published.tolerance):
        return f"ok ({measured:.6g})"
    return f"WRONG: {measured:.6g}, but {wanted:.6g} was published"
