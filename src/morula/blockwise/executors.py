"""Who does the work: this thread, threads, processes, a local Dask cluster, or any cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar

from morula.core.errors import ResourceError, UsageError

__all__ = ["InlineExecutor", "Workers", "workers"]

_PATIENCE = "10s"
_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineExecutor(Executor):
    """Works in the calling thread, at once."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """What the call gave or raised, as a future that is done."""
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  an executor keeps whatever a call raises
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Workers:
    """An executor and what is known about it.

    Attributes:
        executor: does the work.
        count: how many blocks it works on at once.
    """

    executor: Executor
    count: int

    @property
    def ahead(self) -> int:
        """How many blocks are under way at most: nobody waits for the client, and memory stays bounded."""
        return 1 if isinstance(self.executor, InlineExecutor) else 2 * self.count


@contextmanager
def workers(count: int = 1, address: str = "inline") -> Generator[Workers]:
    """Workers for the time of a block.

    Args:
        count: of the workers.
        address: `inline` (one after the other), `threads`, `processes`, `local` (a Dask cluster on this
            machine with a process for each worker), or `dask://host:port` of a scheduler.

    Raises:
        UsageError: no such executor, or not a positive number of workers.
        ResourceError: there is no scheduler, it has no workers, or they run another version of Morula.
    """
    if count < 1:
        raise UsageError("--workers", f"{count} workers", "take at least 1")
    if address.startswith("dask://"):
        with _cluster(f"tcp://{address.removeprefix('dask://')}") as found:
            yield found
    elif address == "local":
        with _local(count) as found:
            yield found
    elif address == "inline":
        yield Workers(InlineExecutor(), 1)
    elif address == "threads":
        with ThreadPoolExecutor(count) as pool:
            yield Workers(pool, count)
    elif address == "processes":
        with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield Workers(pool, count)
    else:
        known = "inline, threads, processes, local, or dask://host:port"
        raise UsageError("--executor", f"there is no executor {address!r}", f"choose {known}")


@contextmanager
def _local(count: int) -> Generator[Workers]:
    """A scheduler in this process that only this machine can reach, without a dashboard."""
    distributed: Any = import_module("distributed")
    options = {"host": "127.0.0.1", "dashboard_address": None, "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=count, threads_per_worker=1, **options) as cluster,
        _cluster(cluster.scheduler_address) as found,
    ):
        yield found


@contextmanager
def _cluster(address: str) -> Generator[Workers]:
    distributed: Any = import_module("distributed")
    try:
        client = distributed.Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        found = f"no Dask scheduler answers at {address.removeprefix('tcp://')}"
        raise ResourceError("--executor", found, "start one with: dask scheduler") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            fix = f"start some with: dask worker {address}"
            raise ResourceError("--executor", f"the scheduler at {address} has no workers", fix)
        _check_versions(client, address)
        try:
            yield Workers(client.get_executor(pure=False), threads)
        except CancelledError as error:
            found = f"the scheduler at {address} is gone"
            raise ResourceError("--executor", found, "start it and its workers again, and repeat") from error
        except distributed.KilledWorker as error:
            found = "workers died at one block again and again, perhaps for want of memory"
            fix = "give each more memory, or take fewer; repeat the command and it goes on"
            raise ResourceError("--executor", found, fix) from error


def _check_versions(client: Any, address: str) -> None:
    ours = _version()
    found = client.run(_version)
    other = sorted({each for each in found.values() if each != ours})
    if other:
        told = f"workers with Morula {', '.join(other)}, but this is {ours}"
        raise ResourceError(address, told, "install the same version everywhere")


def _version() -> str:
    try:
        return version("morula")
    except ImportError:
        return "none"
