"""Fingerprints: equal inputs give equal strings, on every machine and in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

__all__ = ["file_sha256", "fingerprint"]


def fingerprint(*parts: Any) -> str:
    """Sixteen hexadecimal digits that identify `parts`.

    Args:
        parts: JSON values, dataclasses, paths, numpy arrays, and containers of these.

    Raises:
        TypeError: a part has no canonical form.

    >>> fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    True
    >>> fingerprint([1]) == fingerprint([1.5])
    False
    """
    text = json.dumps([_canonical(part) for part in parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: str | PathLike[str]) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _canonical(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PathLike):
        return str(cast("PathLike[str]", value))
    if isinstance(value, np.generic):
        return cast("np.generic[Any]", value).item()
    if isinstance(value, np.ndarray):
        array: npt.NDArray[Any] = np.ascontiguousarray(cast("npt.NDArray[Any]", value))
        return ["array", str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
    if is_dataclass(value) and not isinstance(value, type):
        return _canonical(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, Sequence):
        return [_canonical(item) for item in cast("Sequence[Any]", value)]
    raise TypeError(f"no canonical form for {type(value).__name__}")
