"""What a benchmark's seconds are, what they were measured on, and the training steps that fit into them."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["hardware", "steps_within", "stopwatch"]

_TELLING = 5.0
"""Seconds between two trainings that chance makes little of."""
_LONGEST = 10_000
"""Steps of a training that is tried."""


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


def steps_within(
    minutes: float,
    train: Callable[[int], Any],
    clock: Callable[[], float],
    *,
    trials: tuple[int, int] = (4, 28),
    whole: bool = False,
) -> int:
    """The training steps that a budget holds, at least ten.

    Short trainings tell the seconds of a step apart from what is done in every one: loading, building,
    compiling. One before them pays for what a process does once, as imports are. The longer of two is doubled
    until it takes at least five seconds more than the shorter, for less is chance.

    Args:
        minutes: the budget.
        train: trains from the start for a number of steps.
        clock: seconds, such as `stopwatch` gives.
        trials: the steps of the two trainings to begin with.
        whole: what is done once has its part of the budget, too.

    >>> spent = [0.0]
    >>> def train(steps):
    ...     spent[0] += 30 + 0.5 * steps
    >>> steps_within(2, train, lambda: spent[0])
    240
    >>> steps_within(2, train, lambda: spent[0], whole=True)
    180
    """

    def spent(steps: int) -> float:
        began = clock()
        train(steps)
        return clock() - began

    short, long = trials
    spent(short)
    least, most = spent(short), spent(long)
    while most - least < _TELLING and long < _LONGEST:
        long *= 2
        most = spent(long)
    seconds = max(most - least, 1e-3) / (long - short)
    once = max(0.0, least - short * seconds) if whole else 0.0
    return max(10, round((minutes * 60 - once) / seconds))
