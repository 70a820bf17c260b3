"""Public data sets: what they are, where they come from, and their folders in the cache."""

from __future__ import annotations

from dataclasses import asdict
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

from morula.core.errors import ResourceError, UsageError
from morula.core.hashing import file_sha256
from morula.core.types import Record
from morula.data.sets import (
    ac3_ac4,
    bbbc038,
    bcdata,
    bigneuron,
    coco,
    cremi,
    fib25,
    kasthuri_pp,
    livecell,
    lucchi_pp,
    mitoem,
    monuseg,
    snemi3d,
    vnc,
)
from morula.data.sets.archive import Limits, cache_folder, extract, fetch, first_seen
from morula.data.sets.public_set import Morphology, PublicSet, SetFile

__all__ = [
    "SETS",
    "Morphology",
    "PublicSet",
    "SetFile",
    "cache_folder",
    "check",
    "get",
    "info",
    "records",
]

_MODULES = MappingProxyType(
    {
        module.SET.name: module
        for module in (
            monuseg,
            bcdata,
            bbbc038,
            livecell,
            coco,
            lucchi_pp,
            kasthuri_pp,
            vnc,
            mitoem,
            cremi,
            fib25,
            snemi3d,
            ac3_ac4,
            bigneuron,
        )
    }
)

SETS = MappingProxyType({name: module.SET for name, module in _MODULES.items()})
"""The sets that `morula data` knows, by name."""


def info(name: str) -> dict[str, Any]:
    """Title, files, licence, citation, homepage and notes of a set, as JSON values.

    Raises:
        UsageError: there is no set of this name.
    """
    return asdict(_named(name))


def get(name: str, *, cache: Path | None = None, offline: bool = False, base_url: str | None = None) -> Path:
    """Downloads, verifies and unpacks a set; what is there already is kept.

    Args:
        name: the set.
        cache: folder for all sets, the user's cache folder by default.
        offline: use what is in the cache and never the network.
        base_url: take the files from this address in place of the published ones, for a mirror.

    Returns:
        The folder of the set, to be given to the `records` of its module.

    Raises:
        UsageError: there is no set of this name.
        ResourceError: no network, a wrong checksum, a full disk, or `offline` without a cached copy.
        DataError: an archive is damaged or malicious.
    """
    public = _named(name)
    root = (cache or cache_folder()) / public.name
    for file in public.files:
        _get_file(public, file, root, offline=offline, base_url=base_url)
    return root


def records(name: str, split: str, *, cache: Path | None = None) -> list[Record]:
    """The images of one split of a set in the cache, with their labels where it has any.

    Args:
        name: the set.
        split: one of its `splits`.
        cache: folder for all sets, the user's cache folder by default.

    Raises:
        UsageError: there is no set or no split of this name.
        DataError: the set is not in the cache, or not whole.
    """
    root = (cache or cache_folder()) / _named(name).name
    return _MODULES[name].records(root, split)


def check(name: str, *, cache: Path | None = None) -> dict[str, str]:
    """What the checksum says of each file of a set in the cache.

    Returns:
        File name -> "ok", "ok (as first downloaded, no published checksum)", "missing" or "WRONG CHECKSUM".

    Raises:
        UsageError: there is no set of this name.
    """
    public = _named(name)
    root = (cache or cache_folder()) / public.name
    return {file.filename: _state(file, root / file.filename) for file in public.files}


def _get_file(public: PublicSet, file: SetFile, root: Path, *, offline: bool, base_url: str | None) -> None:
    command = f"morula data get {public.name}"
    path, unpacked = root / file.filename, root / file.folder
    if path.is_file() and _state(file, path).startswith("ok"):
        if file.is_archive and not unpacked.is_dir():
            extract(path, unpacked, _limits(file))
        return
    if offline:
        found = "not in the cache, or not whole, and the network may not be used"
        raise ResourceError(path, found, f"with a network, run `{command}`")
    url = f"{base_url.rstrip('/')}/{file.filename}" if base_url else file.url
    fetched = fetch(url, file.sha256, root, file.filename, command=command)
    if file.is_archive:
        extract(fetched, unpacked, _limits(file))


def _limits(file: SetFile) -> Limits:
    """An archive with its published checksum is no bomb, however well its label images were packed."""
    return Limits(ratio=inf) if file.sha256 else Limits()


def _state(file: SetFile, path: Path) -> str:
    if not path.is_file():
        return "missing"
    known = file.sha256 or first_seen(path)
    if known is not None and file_sha256(path) != known:
        return "WRONG CHECKSUM"
    return "ok" if file.sha256 else "ok (as first downloaded, no published checksum)"


def _named(name: str) -> PublicSet:
    if name not in SETS:
        raise UsageError(name, "no public set of this name", f"choose one of {', '.join(SETS)}")
    return SETS[name]
