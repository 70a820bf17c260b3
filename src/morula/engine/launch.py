"""Device, precision, threads and seeds: what is decided once, before anything trains."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from morula.core.errors import UsageError
from morula.core.rng import Rng

__all__ = ["Precision", "launch", "seeded"]

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
    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():  # wherever Slurm is installed Fabric advises srun, even to one process
        warnings.filterwarnings("ignore", "The `srun` command is available")
        fabric = Fabric(accelerator=_ACCELERATORS[device], devices=1, precision=precision)
    fabric.launch()
    return fabric


@contextmanager
def seeded(rng: Rng, index: int = 0) -> Generator[None]:
    """Torch draws from sample `index` of `rng` inside the block; its global state is as before afterwards."""
    devices: list[Any] = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(rng.integer(index))  # pyright: ignore[reportUnknownMemberType]
        yield
