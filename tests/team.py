"""Small trainings of every recipe, watched step by step, in one process or in a team of several.

As a program it imports everything once and forks the processes of one team after the other, with the
environment that a launcher would give them: `python team.py TEAM...`, each TEAM as `Team.text` gives it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import find_free_network_port

import synthetic
from morula.core.config import override
from morula.core.errors import MorulaError
from morula.core.types import Axes, Record, Volume, Voxel
from morula.engine import Run, Stage, TrainState, launch_ranks, loop, surviving
from morula.recipes import load_recipe

__all__ = ["NATURAL", "RECIPES", "Job", "Team", "Watched", "train"]


def cells(labelled: int) -> list[Record]:
    found: list[Record] = []
    for seed in range(3):
        image, labels = synthetic.field(seed, look="H&E", size=96, count=8)
        volume = Volume(np.moveaxis(image, -1, 0), Axes("cyx"), f"c{seed}", channels=("red", "green", "blue"))
        found.append(Record(f"c{seed}", volume, (lambda labels=labels: labels) if seed < labelled else None))
    return found


def mitochondria() -> list[Record]:
    source, mask = synthetic.em_stack(0, size=96, sections=2)
    target, _ = synthetic.em_stack(1, size=96, sections=2, dark=95, light=150)
    volumes = [
        Volume(each, Axes("zyx"), name, voxel=Voxel(z=40, y=8, x=8), stamp=name)
        for name, each in (("s", source), ("t", target))
    ]
    return [Record("s", volumes[0], lambda: mask, domain="source"), Record("t", volumes[1], domain="target")]


def neurons() -> list[Record]:
    image, labels = synthetic.neurites(0, (16, 40, 40))
    box = (slice(0, 12), slice(0, 40), slice(0, 32))
    volume = Volume(image, Axes("zyx"), "n", voxel=Voxel(z=40, y=5, x=5), stamp="n")
    return [Record("n", volume, lambda: labels[box], box=box)]


def traces() -> list[Record]:
    image, tree = synthetic.traced_stack(0)
    return [Record("t", Volume(image, Axes("zyx"), "t", voxel=Voxel(z=3, y=1, x=1)), trace=lambda: tree)]


_CELL = {"steps": 4, "round_steps": 2, "rounds": 1, "batch": 4, "crop": 64, "widths": [8, 12]}
_EMDA = {"steps": 4, "batch": 2, "target_batch": 2, "crop": 64, "width": 8, "candidates": 1, "lr": 1e-3}
_NEURONS = {"steps": 4, "batch": 2}
_DETECTOR = {
    "iterations": 2, "views": 8, "view": 64, "parts": 2, "queue": 12, "regions": 16, "detections": 10,
    "contrast_lr": 1e-3, "steps": 1, "batch": 2, "crop": 64, "natural_batch": 2, "natural_crop": 64,
}  # fmt: skip
NATURAL = "natural/instances.json"
"""Natural images, below the folder in which a job runs."""

RECIPES: dict[str, tuple[str, str, dict[str, Any], Callable[[], list[Record]]]] = {
    "psm": ("psm", "smoke", {**_CELL, "activation_steps": 2}, lambda: cells(0)),
    "cupre": ("cupre", "smoke", _CELL, lambda: cells(1)),
    "emda": ("emda", "smoke", _EMDA, mitochondria),
    "emda mean-teacher": ("emda", "mean-teacher", {**_EMDA, "teacher_start": 0.0}, mitochondria),
    "emda inter-section": ("emda", "inter-section", _EMDA, mitochondria),
    "emda ssl": ("emda", "ssl", _EMDA, mitochondria),
    "emda ynet": ("emda", "ynet", _EMDA, mitochondria),
    "emda damt": ("emda", "damt", {**_EMDA, "steps": 2}, mitochondria),
    "cupre paper": ("cupre", "paper-small", _DETECTOR, lambda: cells(1)),
    "cupre natural": ("cupre", "paper-small", {**_DETECTOR, "natural": NATURAL}, lambda: cells(1)),
    "dbmim": ("dbmim", "smoke", {"pretrain": {**_NEURONS, "mask": "learned"}, "finetune": _NEURONS}, neurons),
    "mscon": ("mscon", "smoke", {"pretrain": _NEURONS, "finetune": _NEURONS}, neurons),
    "vit3d": ("vit3d", "smoke", {"steps": 4, "crop": [8, 32, 32]}, traces),
}
"""Recipe, preset, changes and records by name. Where a recipe has several kinds of step, each is there."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        name: of `RECIPES`.
        path: its folder.
        stop: stage and step at which it is interrupted, after a checkpoint.
    """

    name: str
    path: Path
    stop: tuple[str, int] | None = None

    @property
    def text(self) -> str:
        stage, step = self.stop or ("", 0)
        return f"{self.name}={self.path}={stage}={step}"

    @classmethod
    def of(cls, text: str) -> Job:
        name, path, stage, step = text.split("=")
        return cls(name, Path(path), (stage, int(step)) if stage else None)


@dataclass
class Watched:
    """What one process saw: all scalars of every step by stage, and fingerprints of batches and states."""

    trace: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)


def train(job: Job, fabric: Fabric) -> Watched:
    """Trains, as far as the job says."""
    recipe, preset, changes, records = RECIPES[job.name]
    module = load_recipe(recipe)
    config = override(module.presets()[preset], {**changes, "precision": "32-true"})
    saved = config.model_dump(mode="json")
    watched = Watched()
    with _watching(watched, job.stop):
        run = Run.open(job.path, recipe=recipe, config=saved, data={}, seed=0, fabric=fabric)
        try:
            module.train(run, records(), config)
        except KeyboardInterrupt:
            assert job.stop is not None
    return watched


@contextmanager
def _watching(watched: Watched, stop: tuple[str, int] | None) -> Generator[None]:
    checkpoint, prefetch = Stage.checkpoint, loop._prefetch

    def seen(metrics: dict[str, float], step: int, stage: Stage) -> None:
        if stop == (stage.name, step):
            raise KeyboardInterrupt
        watched.trace.setdefault(stage.name, []).append(dict(metrics))

    def saved(stage: Stage, state: TrainState) -> None:
        watched.states.append(digest(state.state_dict()))
        checkpoint(stage, state)

    def drawn(batches: Callable[[int], Any], first: int, last: int) -> Any:
        def batch(index: int) -> Any:
            made = batches(index)
            watched.batches.append(digest(made))
            return made

        return prefetch(batch, first, last)

    with (
        patch.object(loop, "_refuse_not_finite", seen),
        patch.object(loop, "_prefetch", drawn),
        patch.object(Stage, "checkpoint", saved),
        patch.dict(loop.fit.__kwdefaults__, {"save_seconds": 30.0 if stop is None else 0.0}),
    ):
        yield


def digest(value: Any) -> str:
    """Of all tensors and numbers in dicts, sequences and dataclasses."""
    return hashlib.sha256(b"".join(_bytes(value))).hexdigest()


def _bytes(value: Any) -> Generator[bytes]:
    if isinstance(value, torch.Tensor):
        yield value.detach().contiguous().numpy().tobytes()
    elif isinstance(value, dict):
        for name, each in value.items():
            yield str(name).encode()
            yield from _bytes(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _bytes(each)
    elif dataclasses.is_dataclass(value):
        yield from _bytes([getattr(value, part.name) for part in dataclasses.fields(value)])
    else:
        yield repr(value).encode()


@dataclass(frozen=True)
class Team:
    """Processes that do some jobs together.

    Attributes:
        launcher: who seems to have started them: `torchrun`, or `srun` on two machines.
        out: what the processes saw, JSON, the process's number appended.
        jobs: one after the other.
        breaks: whether process 1 stops with an error in the first step.
    """

    launcher: str
    out: Path
    jobs: tuple[Job, ...]
    breaks: bool = False

    @property
    def text(self) -> str:
        return "|".join(
            [self.launcher, str(self.out), str(int(self.breaks)), *(job.text for job in self.jobs)]
        )

    @classmethod
    def of(cls, text: str) -> Team:
        launcher, out, breaks, *jobs = text.split("|")
        return cls(launcher, Path(out), tuple(map(Job.of, jobs)), bool(int(breaks)))

    def environment(self, rank: int, port: int) -> dict[str, str]:
        reach = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        if self.launcher == "torchrun":
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
            return {
                **reach,
                "TORCHELASTIC_RUN_ID": "team",
                **{name: str(value) for name, value in own.items()},
            }
        own = {"PROCID": rank, "LOCALID": 0, "NODEID": rank, "NTASKS": 2, "NTASKS_PER_NODE": 1, "NNODES": 2}
        job = {"SLURM_JOB_ID": "12", "SLURM_JOB_NAME": "team", "SLURM_STEP_NUM_TASKS": "2"}
        return {**reach, **job, **{f"SLURM_{name}": str(value) for name, value in own.items()}}

    def work(self, rank: int) -> None:
        devices, nodes = (2, 1) if self.launcher == "torchrun" else (1, 2)
        fabric = launch_ranks("cpu", "32-true", devices=devices, nodes=nodes)
        told: Any
        try:
            with surviving(fabric), _breaking(self.breaks and rank == 1):
                told = [dataclasses.asdict(train(job, fabric)) for job in self.jobs]
        except MorulaError as error:
            told = {"error": str(error)}
        Path(f"{self.out}.{rank}").write_text(json.dumps(told))


@contextmanager
def _breaking(breaks: bool) -> Generator[None]:
    def killed(*_: Any) -> None:
        os._exit(1)

    with patch.object(loop, "seeded", killed) if breaks else nullcontext():
        yield


def main(*teams: str) -> None:
    for team in map(Team.of, teams):
        port = find_free_network_port()
        children = [_fork(team, rank, port) for rank in range(2)]
        for child in children:
            os.waitpid(child, 0)


def _fork(team: Team, rank: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    os.environ |= team.environment(rank, port)
    try:
        team.work(rank)
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
