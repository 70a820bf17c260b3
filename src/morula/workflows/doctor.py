"""`morula doctor`: can this machine do the work?"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from morula.data.sets import cache_folder

__all__ = ["Check", "doctor"]

_ENOUGH_DISK_GB, _ENOUGH_MEMORY_GB = 5.0, 4.0


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    found: str


def doctor() -> tuple[Check, ...]:
    """Packages, device, memory, disk and cache of this machine."""
    return (_python(), _packages(), _device(), _memory(), _disk(Path.cwd()), _cache())


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), f"{found} (3.11 or newer is needed)")


def _packages() -> Check:
    bad: list[str] = []
    for text in requires("morula") or []:
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            bad.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            bad.append(f"{wanted.name} {found} (needs {wanted.specifier})")
    return Check("packages", not bad, "; ".join(bad) or "all there")


def _device() -> Check:
    import torch

    from morula.engine import cores

    if torch.cuda.is_available():
        return Check(
            "device", True, f"{torch.cuda.get_device_name()}, {cores()} cores, PyTorch {torch.__version__}"
        )
    return Check("device", True, f"no GPU; {cores()} cores, PyTorch {torch.__version__}")


def _memory() -> Check:
    if not hasattr(os, "sysconf") or "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return Check("memory", True, "cannot be read on this system")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return Check(
        "memory", total >= _ENOUGH_MEMORY_GB, f"{total:.0f} GB, {free:.0f} GB untouched (4 GB are enough)"
    )


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / 1e9
    return Check("disk", free >= _ENOUGH_DISK_GB, f"{free:.0f} GB free here (5 GB are enough for runs)")


def _cache() -> Check:
    folder = cache_folder()
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    return Check("cache", os.access(parent, os.W_OK), f"{folder} (set MORULA_CACHE to move it)")
