"""A task on blocks gives what it gives on the whole; what was killed goes on and ends byte for byte alike."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
from scipy import ndimage as ndi

from blocks import files_of
from morula.blockwise import BlockGrid, InlineExecutor, Marks, Tiling, run_blocks, workers
from morula.core.errors import ResourceError, UsageError
from morula.data.ome_zarr import scratch

RNG = np.random.default_rng(2)
VOLUME = RNG.integers(0, 100, (7, 20, 23)).astype(np.int32)
GRID = BlockGrid(VOLUME.shape, (4, 8, 8), (1, 2, 2))


def largest(array):
    return ndi.maximum_filter(array, (3, 5, 5))


@dataclass(frozen=True)
class Largest:
    """`largest` of a block, read with its halo and written without it."""

    source: Any
    sink: Any

    def __call__(self, index):
        found = largest(self.source[GRID.read(index)])
        self.sink[GRID.write(index)] = found[GRID.inner(index)]
        return {}


@pytest.mark.parametrize("address", ["inline", "threads"])
def test_it_is_the_function_of_the_whole(address):
    sink = np.zeros_like(VOLUME)
    with workers(2, address) as team:
        run_blocks(Largest(VOLUME, sink), len(GRID), team.executor, ahead=team.ahead)
    assert np.array_equal(sink, largest(VOLUME))


def test_processes_write_into_one_store(tmp_path):
    source, sink = (
        scratch(tmp_path / name, VOLUME.shape, np.int32, (4, 8, 8)) for name in ("a.zarr", "b.zarr")
    )
    source[:, :, :] = VOLUME
    with workers(2, "processes") as team:
        marks = Marks.open(tmp_path / "marks")
        run_blocks(Largest(source, sink), len(GRID), team.executor, marks=marks, ahead=team.ahead)
    assert np.array_equal(sink[...], largest(VOLUME))


class Killed(BaseException):
    """What no code of ours may catch."""


class Dying:
    """A sink in a store that is killed while it writes a block, before or after the bytes are there."""

    def __init__(self, path: Path, death: int, late: bool) -> None:
        self.store = scratch(path, VOLUME.shape, np.int32, (4, 8, 8))
        self.left, self.late = death, late

    def __setitem__(self, box, values) -> None:
        self.left -= 1
        if self.left == 0 and not self.late:
            raise Killed
        self.store[box] = values
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("late", [False, True])
def test_killed_at_every_block_it_ends_byte_for_byte_alike(tmp_path, late):
    run_blocks(Largest(VOLUME, Dying(tmp_path / "whole.zarr", 0, late)), len(GRID), InlineExecutor())
    path, marks, deaths = tmp_path / "killed.zarr", tmp_path / "marks", 0
    for death in range(1, len(GRID) + 2):
        ran: list[int] = []
        try:
            run_blocks(
                Largest(VOLUME, Dying(path, 2, late)), len(GRID), InlineExecutor(),
                marks=Marks.open(marks, grid=GRID), advance=ran.append,
            )  # fmt: skip
            break
        except Killed:
            deaths = death
    assert deaths == len(GRID) - 1 and ran == [len(GRID) - 1]
    assert files_of(path) == files_of(tmp_path / "whole.zarr")


@pytest.mark.parametrize(
    ("lost", "repeated"),
    [("000000/000000001.npz", [1]), ("step.json", [0, 1, 2])],
)
def test_marks_that_the_power_left_empty_are_none(tmp_path, lost, repeated):
    ran = []
    run_blocks(lambda _: {}, 3, InlineExecutor(), marks=Marks.open(tmp_path))
    (tmp_path / lost).write_bytes(b"")
    run_blocks(lambda _: {}, 3, InlineExecutor(), marks=Marks.open(tmp_path), advance=ran.append)
    assert sorted(ran) == repeated


def test_another_model_or_grid_is_refused(tmp_path):
    Marks.open(tmp_path, weights="a", grid=GRID)
    Marks.open(tmp_path, weights="a", grid=GRID)
    with pytest.raises(UsageError, match="made with another weights"):
        Marks.open(tmp_path, weights="b", grid=GRID)
    with pytest.raises(UsageError, match="made with another grid and weights"):
        Marks.open(tmp_path, weights="b", grid=BlockGrid((7, 20, 23), (4, 8, 8), (0, 0, 0)))


def test_what_a_block_told_is_told_again(tmp_path):
    marks = Marks.open(tmp_path)
    first = run_blocks(lambda index: {"n": np.array([index])}, 3, InlineExecutor(), marks=marks)
    again = run_blocks(lambda index: {}, 3, InlineExecutor(), marks=marks)
    assert [each["n"].tolist() for each in first] == [each["n"].tolist() for each in again] == [[0], [1], [2]]


def die(index):
    import os

    os._exit(index + 1)


def test_a_worker_that_dies_is_an_error_that_says_so():
    with workers(1, "processes") as team, pytest.raises(ResourceError, match="worker process died"):
        run_blocks(die, 1, team.executor)


def test_few_blocks_are_under_way():
    class Counting(ThreadPoolExecutor):
        def __init__(self) -> None:
            super().__init__(1)
            self.open, self.most = 0, 0

        def submit(self, *args):
            self.open += 1
            self.most = max(self.most, self.open)
            future = super().submit(*args)
            future.add_done_callback(lambda _: setattr(self, "open", self.open - 1))
            return future

    with Counting() as executor:
        run_blocks(lambda _: {}, 20, executor, ahead=3)
    assert 1 <= executor.most <= 3


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("dask://127.0.0.1:1", ResourceError, "no Dask scheduler answers at 127.0.0.1:1"),
        ("slurm", UsageError, "there is no executor 'slurm'"),
    ],
)
def test_workers_that_are_not_there(monkeypatch, address, error, told):
    monkeypatch.setattr("morula.blockwise.executors._PATIENCE", "200ms")
    with pytest.raises(error, match=told), workers(1, address):
        pass
    with pytest.raises(UsageError, match="0 workers"), workers(0):
        pass


def test_tiles_blend_alike_in_blocks_and_at_once():
    tiling = Tiling(VOLUME.shape, (5, 9, 8), 0.3)

    def network(tile):
        place = np.indices(tile.shape).sum(axis=0)
        return np.stack([tile * 0.5 + place, np.full(tile.shape, 3.0)]).astype(np.float32)

    whole = tiling.predict(network, VOLUME, tuple(slice(0, size) for size in VOLUME.shape))
    assert np.allclose(whole[1], 3)
    for box in GRID:
        assert np.array_equal(tiling.predict(network, VOLUME, box), whole[(slice(None), *box)])
    with pytest.raises(ValueError, match="cannot repeat"):
        Tiling((9, 9), (4, 4), 1)


class Scheduler:
    """A client of Dask whose scheduler has a worker until the block begins."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def nthreads(self):
        return {"tcp://here": 2}

    def run(self, call):
        return {"tcp://here": call()}

    def get_executor(self, *, pure):
        executor = InlineExecutor()
        executor.submit = self.lost
        return executor

    def lost(self, *_):
        future = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CancelledError(), "the scheduler at tcp://here:1 is gone"),
        (distributed.KilledWorker("block", None, 3), "workers died at one block again and again"),
    ],
)
def test_a_cluster_that_is_lost_is_an_error_that_says_so(monkeypatch, error, told):
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: Scheduler(error))
    with pytest.raises(ResourceError, match=told), workers(1, "dask://here:1") as team:
        run_blocks(lambda _: {}, 1, team.executor)


def test_workers_with_another_version_are_refused(monkeypatch):
    class Others(Scheduler):
        def run(self, call):
            return {"tcp://here": call(), "tcp://there": "0.0.1"}

    monkeypatch.setattr(distributed, "Client", lambda *_, **__: Others(OSError()))
    with (
        pytest.raises(ResourceError, match=r"workers with Morula 0\.0\.1, but this is"),
        workers(1, "dask://here:1"),
    ):
        pass
