"""What an array says of itself as CREMI has it: `resolution` and `offset`, z, y, x in nm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from morula.core.types import Array, Voxel

__all__ = ["offset_of", "resolution_of"]


def resolution_of(attributes: Mapping[str, Any], ndim: int) -> Voxel | None:
    """The size of a voxel in nm, None where the attribute is not there or no size of `ndim` axes."""
    lengths = _numbers(attributes, "resolution")
    if lengths.shape != (ndim,) or not (lengths > 0).all():
        return None
    *depth, height, width = map(float, lengths)
    return Voxel(y=height, x=width, z=depth[0] if depth else None)


def offset_of(attributes: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Where a volume begins in the one that it is a part of, z, y, x in nm, None where nothing says so."""
    found = _numbers(attributes, "offset")
    if found.shape != (3,):
        return None
    z, y, x = map(float, found)
    return z, y, x


def _numbers(attributes: Mapping[str, Any], name: str) -> Array:
    """A list of finite numbers, empty where it is none."""
    found = np.asarray(attributes.get(name, ())).ravel()
    return found if found.dtype.kind in "uif" and np.isfinite(found).all() else np.empty(0)
