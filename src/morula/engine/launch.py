"""Device, precision, threads and seeds: what is decided once, before anything trains."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from morula.core.errors import UsageError
from morula.core.rng import Rng

__all__ = ["Precision", "accelerator_of", "be_quiet", "cores", "launch", "seeded", "use_cores"]

Precision = Literal["bf16-mixed", "32-true"]
_ACCELERATORS = {"auto": "auto", "cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps"}


def launch(device: str = "auto", precision: Precision = "bf16-mixed") -> Fabric:
    """A Fabric on one device, with as many threads as this process may use cores.

    bf16 autocast is the default on the CPU too (benchmarks/speed.py holds what it gives).

    Args:
        device: `auto`, `cpu`, `cuda` (or `gpu`) or `mps`.
        precision: `bf16-mixed` or `32-true`.

    Raises:
        UsageError: the device is unknown or not there.
    """
    accelerator = accelerator_of(device)
    use_cores()
    be_quiet()
    alone: list[Any] = [LightningEnvironment()]  # under Slurm, too, of which Fabric warns otherwise
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision, plugins=alone)
    fabric.launch()
    return fabric


def accelerator_of(device: str) -> str:
    """Fabric's name of a device.

    Raises:
        UsageError: the device is unknown or not there.
    """
    if device not in _ACCELERATORS:
        raise UsageError(
            "--device", f"unknown device {device!r}", f"choose one of {', '.join(_ACCELERATORS)}"
        )
    if _ACCELERATORS[device] == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device", "no CUDA device is visible to PyTorch", "leave --device out, or set it to cpu"
        )
    if _ACCELERATORS[device] == "mps" and not torch.backends.mps.is_available():
        raise UsageError(
            "--device", "no Apple GPU is visible to PyTorch", "leave --device out, or set it to cpu"
        )
    return _ACCELERATORS[device]


def be_quiet() -> None:
    """Leaves out what Fabric tells of itself; its warnings stay."""
    for name in ("lightning_fabric", "lightning_fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def cores(processes: int = 1) -> int:
    """How many cores this process may use when so many processes share them; at least one."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, ours // processes)


def use_cores(processes: int = 1) -> None:
    """Lets torch use as many threads as this process may use cores, when so many processes share them."""
    torch.set_num_threads(cores(processes))


@contextmanager
def seeded(rng: Rng, index: int = 0) -> Generator[None]:
    """Torch draws from sample `index` of `rng` inside the block; its global state is as before afterwards."""
    devices: list[Any] = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(rng.integer(index))  # pyright: ignore[reportUnknownMemberType]
        yield
