"""What a benchmark's seconds are, and what they were measured on."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import torch

__all__ = ["hardware", "stopwatch"]


def stopwatch(device: torch.device) -> Callable[[], float]:
    """Seconds of this process on a CPU, which others on the machine do not change; else of the clock.

    >>> stopwatch(torch.device("cpu")) is time.process_time
    True
    """
    return time.process_time if device.type == "cpu" else time.perf_counter


def hardware(device: torch.device) -> str:
    """The processor, and the number of its cores that this process uses.

    >>> hardware(torch.device("cpu")).endswith("threads, no GPU")
    True
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, no GPU"
