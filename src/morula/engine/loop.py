"""The one training loop: cadence, log, checkpoints, resume. A recipe owns the step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from morula.core.errors import TrainingError
from morula.engine.launch import seeded
from morula.engine.log import append_metrics, progress
from morula.engine.run import Stage
from morula.engine.state import TrainState

__all__ = ["fit"]

Batch = TypeVar("Batch")
_LOOK_AHEAD = 2
_CALMER = "lower the learning rate, or set precision=32-true"


def fit(
    step: Callable[[Batch], Mapping[str, Tensor | float]],
    batches: Callable[[int], Batch],
    state: TrainState,
    steps: int,
    stage: Stage,
    *,
    save_seconds: float = 30.0,
    log_every: int = 10,
) -> None:
    """Runs `step` until `state.step == steps`, from the stage's checkpoint where there is one.

    Batch i depends on i alone and torch draws from a stream of its own in each step, so an interrupted
    training ends with the same weights as an uninterrupted one (bit for bit on the CPU).

    Args:
        step: takes a batch, changes the parts of `state`, returns named scalars.
        batches: the batch of step i; called ahead of time in a thread.
        state: all that changes while training.
        steps: how many steps the whole training has.
        stage: where checkpoints (`state.pt`) and curves (`metrics.jsonl`) go.
        save_seconds: how much work a kill may cost at most.
        log_every: steps between two lines of `metrics.jsonl`.

    Raises:
        TrainingError: a scalar or a weight is not finite; the last good checkpoint is kept.
        ResourceError: the disk is full.
    """
    stage.restore(state)
    saved = time.monotonic()
    rng = stage.rng("step")
    with (
        progress(stage.console, stage.name, steps, start=state.step) as advance,
        _prefetch(batches, state.step, steps) as stream,
    ):
        for batch in stream:
            with seeded(rng, state.step):
                metrics = {name: float(value) for name, value in step(batch).items()}
            _refuse_not_finite(metrics, state.step, stage)
            state.step += 1
            advance(metrics)
            if state.step % log_every == 0 or state.step == steps:
                append_metrics(stage.path / "metrics.jsonl", state.step, metrics)
            if time.monotonic() - saved >= save_seconds and state.step < steps:
                _save(stage, state)
                saved = time.monotonic()
    _save(stage, state)


def _save(stage: Stage, state: TrainState) -> None:
    """Saves what is worth it: gradients that overflow leave no trace in the loss of their own step."""
    for name, part in state.parts.items():
        weights = part.parameters() if isinstance(part, nn.Module) else ()
        if not all(bool(torch.isfinite(each).all()) for each in weights):
            found = f"weights of {name} are not finite after step {state.step} of stage {stage.name}"
            raise TrainingError(stage.path, found, _CALMER)
    stage.checkpoint(state)


def _refuse_not_finite(metrics: Mapping[str, float], step: int, stage: Stage) -> None:
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        found = f"{bad[0]} is {metrics[bad[0]]} at step {step} of stage {stage.name}"
        raise TrainingError(stage.path, found, _CALMER)


@contextmanager
def _prefetch(batches: Callable[[int], Batch], first: int, last: int) -> Generator[Iterator[Batch]]:
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        queue: dict[int, Future[Batch]] = {}

        def stream() -> Iterator[Batch]:
            for index in range(first, last):
                for ahead in range(index, min(index + _LOOK_AHEAD, last)):
                    if ahead not in queue:
                        queue[ahead] = pool.submit(batches, ahead)
                yield queue.pop(index).result()

        try:
            yield stream()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
