"""Runs on a Dask cluster of which a part is killed at a random moment, by SIGKILL; repeated and compared.

A run's victim is the worker, the client or the scheduler, in turn. The moment is drawn evenly from the time
that a whole run takes from its first finished block on. After the death of a worker nobody helps: its nanny
starts another. After that of the client the same call is repeated, after that of the scheduler in a new
cluster. The labels' files must then be, byte for byte, those of a run that nothing happened to.

Processes are forked from this one, which has imported everything, so that they start at once.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
from distributed import Client
from distributed.cli import dask_scheduler, dask_worker
from results import keep, rows
from volume import digest, segment_blobs

from morula.blockwise import workers

__all__ = ["kill"]

SHAPE, BLOCK = (64, 256, 256), (32, 128, 128)
VICTIMS = ("worker", "client", "scheduler")
LONGEST = 240  # seconds that a run may take
_fork: Any = multiprocessing.get_context("fork")


def kill(runs: int, work: Path) -> None:
    """Adds a line for each run that has none."""
    dask.config.set({"distributed.worker.multiprocessing-method": "fork"})
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.started())
        whole, killed = work / "whole", work / "killed"
        client = cluster.client(whole)
        began = first_mark(client, whole)
        assert ended(client) == 0
        length, wanted = time.monotonic() - began, digest(whole)
        for number in range(len(rows("kill")), runs):
            victim, moment = VICTIMS[number % 3], float(np.random.default_rng(number).uniform(0, length))
            client = cluster.client(killed)
            first_mark(client, killed)
            client.join(moment)
            while not client.is_alive():  # it was faster than the whole run
                moment /= 2
                client = cluster.client(killed)
                first_mark(client, killed)
                client.join(moment)
            marked = marks(killed)
            victims = {"worker": cluster.worker, "client": client.pid, "scheduler": cluster.scheduler.pid}
            os.kill(victims[victim], signal.SIGKILL)
            code, repeats = ended(client), 0
            if victim == "scheduler":
                cluster.stop()
                cluster = stack.enter_context(Cluster.started())
            while code:
                repeats += 1
                code = ended(cluster.client(killed, new=False))
            told = {"run": number, "victim": victim, "at_s": moment, "of_s": length}
            same = digest(killed) == wanted
            keep("kill", {**told, "marked": marked, "of": marks(killed), "repeats": repeats, "same": same})


class Cluster:
    """A scheduler, and a nanny with one worker, each a process."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.address = f"127.0.0.1:{port}"
        quiet = ["--host", "127.0.0.1", "--no-dashboard"]
        self.scheduler = _forked(dask_scheduler.main, ["--port", port, *quiet])
        told = [f"tcp://{self.address}", "--nworkers", "1", "--nthreads", "1", *quiet]
        self.nanny = _forked(dask_worker.main, told)

    @classmethod
    @contextmanager
    def started(cls) -> Generator[Cluster]:
        """For the time of a block."""
        cluster = cls()
        try:
            yield cluster
        finally:
            cluster.stop()

    @property
    def worker(self) -> int:
        """The number of the process that works; waits until there is one."""
        while not (found := psutil.Process(self.nanny.pid).children()):
            time.sleep(0.05)
        return found[0].pid

    def client(self, folder: Path, *, new: bool = True) -> Any:
        """The process that asks for the work, in a new folder or to go on."""
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        _ = self.worker
        return _forked(_segment, folder, self.address)

    def stop(self) -> None:
        """Ends both, and what they started."""
        for process in (self.nanny, self.scheduler):
            if process.is_alive():
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
                process.kill()
            process.join()


def first_mark(client: Any, folder: Path) -> float:
    """Waits for the first finished block; when that was."""
    while not marks(folder):
        if client.exitcode:
            raise RuntimeError(f"the client ended with {client.exitcode} before it did anything")
        time.sleep(0.02)
    return time.monotonic()


def marks(folder: Path) -> int:
    """Blocks that are finished, of all steps."""
    return sum(1 for _ in (folder / "work").rglob("*.npz"))


def ended(client: Any) -> int:
    """How a client ended."""
    client.join(LONGEST)
    if client.is_alive():
        raise RuntimeError(f"no end after {LONGEST} s")
    return client.exitcode


def _forked(call: Callable[..., Any], *arguments: Any) -> Any:
    process = _fork.Process(target=_silent, args=(call, arguments))
    process.start()
    return process


def _silent(call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    call(*arguments)


def _segment(folder: Path, address: str) -> None:
    with Client(f"tcp://{address}") as client:
        client.wait_for_workers(1)
    with workers(1, f"dask://{address}") as team:
        segment_blobs(folder, SHAPE, BLOCK, team)
