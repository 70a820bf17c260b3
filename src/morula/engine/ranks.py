"""Training in several processes: how they are started, what one of them does for all, and how they end.

Fabric starts them, or finds that torchrun or Slurm did. All run the same program on the same random streams;
`morula.engine.together` splits the batches. Process 0 alone writes (`Run` sees to that).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from morula.core.errors import MorulaError, ResourceError, UsageError
from morula.engine.launch import Precision, accelerator_of, be_quiet, launch, use_cores
from morula.engine.together import Together

__all__ = ["launch_ranks", "leave", "once", "spread", "surviving"]

T = TypeVar("T")
U = TypeVar("U")
_PATIENCE = timedelta(hours=24)  # for process 0, while it does what the others need
_GLANCE = 2.0  # seconds between two looks for the process that started this one


class _Started(NamedTuple):
    """What a launcher did: its name, and how many processes it started, in all and on this machine."""

    by: str
    processes: int
    here: int


def launch_ranks(
    device: str = "auto", precision: Precision = "bf16-mixed", *, devices: int = 1, nodes: int = 1
) -> Fabric:
    """Like `launch`, for `devices` processes on each of `nodes` machines.

    One process is what `launch` gives. Several on one machine are started here; under torchrun or Slurm's
    srun they are there already, and each calls this.

    Args:
        device: `auto`, `cpu`, `cuda` (or `gpu`) or `mps`.
        precision: `bf16-mixed` or `32-true`.
        devices: processes on a machine, each with a GPU of its own where there are GPUs.
        nodes: machines.

    Raises:
        UsageError: there are not so many GPUs or processes.
    """
    started = _started()
    _refuse(devices, nodes, started)
    if devices * nodes == 1:
        return launch(device, precision)
    accelerator = accelerator_of(device)
    be_quiet()
    _refuse_missing_devices(accelerator, devices)
    strategy: Any = Together(timeout=_PATIENCE)
    alone: list[Any] = [LightningEnvironment()] if started is None else []
    fabric = Fabric(
        accelerator=accelerator, devices=devices, num_nodes=nodes, precision=precision, strategy=strategy,
        plugins=alone,
    )  # fmt: skip
    if started is None and "LOCAL_RANK" in os.environ:
        _end_with(os.getppid())
    fabric.launch()
    use_cores(devices)
    return fabric


def once(fabric: Fabric, work: Callable[[], T]) -> T:
    """What `work` gives in process 0, told to all; its `MorulaError` ends all. The others wait."""
    if fabric.world_size == 1:
        return work()
    found: T | MorulaError | None = None
    if fabric.is_global_zero:
        try:
            found = work()
        except MorulaError as error:
            found = error
    told = fabric.broadcast(found)
    if isinstance(told, MorulaError):
        raise told
    return cast(T, told)


def spread(fabric: Fabric, work: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """What `work` gives for each item, in their order: every process does a part of them and gets all."""
    if fabric.world_size == 1:
        return [work(item) for item in items]
    size = fabric.world_size
    own = [work(item) for item in items[fabric.global_rank :: size]]
    parts: list[Any] = [None] * size
    dist.all_gather_object(parts, own)
    return [parts[number % size][number // size] for number in range(len(items))]


@contextmanager
def surviving(fabric: Fabric) -> Generator[None]:
    """Says it plainly when another process of the training is gone.

    Raises:
        ResourceError: the connection to another process broke.
    """
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not _is_lost(error):
            raise
        found = f"another of the {fabric.world_size} processes stopped"
        raise ResourceError("training", found, "see what it said, then repeat the command") from error


def leave(fabric: Fabric) -> None:
    """Waits for all processes and parts from them; afterwards each is alone."""
    if fabric.world_size > 1:
        fabric.barrier()
        dist.destroy_process_group()


def _started() -> _Started | None:
    if dist.is_available() and dist.is_torchelastic_launched():
        return _Started("torchrun", int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"]))
    processes = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if processes > 1:  # the shell of an interactive job is a step of one task, too
        here = int(os.environ.get("SLURM_NTASKS_PER_NODE", processes))
        return _Started("srun", processes, min(here, processes))
    return None


def _refuse(devices: int, nodes: int, started: _Started | None) -> None:
    for option, count in (("--devices", devices), ("--nodes", nodes)):
        if count < 1:
            raise UsageError(option, f"{count} is less than one", "give 1 or more")
    if started is None and nodes > 1:
        found = f"{nodes} machines, but neither torchrun nor srun started this process"
        raise UsageError(
            "--nodes", found, "start it on each machine by one of them; the documentation shows how"
        )
    if started is not None and (started.processes, started.here) != (devices * nodes, devices):
        found = f"{started.by} started {started.processes} processes, {started.here} on a machine, not "
        found += f"{devices} on each of {nodes}"
        fix = f"give --devices {started.here} --nodes {max(1, started.processes // started.here)}"
        raise UsageError("--devices --nodes", found, fix)
    if (
        started is not None
        and started.by == "srun"
        and devices > 1
        and "SLURM_NTASKS_PER_NODE" not in os.environ
    ):
        fix = f"add --ntasks-per-node={devices} to the job"
        raise UsageError("srun", "it does not say how many processes run on a machine", fix)


def _refuse_missing_devices(accelerator: str, devices: int) -> None:
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "mps":
        raise UsageError("--devices", "an Apple GPU is one device", "leave --devices out")
    if accelerator == "cuda" and devices > (there := torch.cuda.device_count()):
        raise UsageError(
            "--devices", f"{devices} GPUs, but this machine has {there}", f"give at most {there}"
        )


def _end_with(starter: int) -> None:
    """Ends this process when the one that started it is gone, or else it would wait for it in vain."""

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(_GLANCE)
        os._exit(ResourceError.exit_code)

    threading.Thread(target=watch, name="watch-starter", daemon=True).start()


def _is_lost(error: RuntimeError) -> bool:
    broken = ("Connection closed", "Connection reset", "Broken pipe", "Connection refused", "Timed out")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in broken)
