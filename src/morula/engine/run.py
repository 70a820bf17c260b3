"""A run is a directory: typed paths, one random stream per name, stages that are done once."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console

from morula.core.errors import DataError, UsageError
from morula.core.files import aside_of, atomic_path, has_content, remove_partial, write_json, writing
from morula.core.hashing import fingerprint
from morula.core.rng import Rng
from morula.core.types import Array
from morula.data.listing import visible
from morula.engine.provenance import provenance
from morula.engine.ranks import leave, once
from morula.engine.state import TrainState

__all__ = ["Existing", "Run", "Stage", "read_json"]

Existing = Literal["continue", "resume", "overwrite"]

_FIRST = "provenance.json"
_BEFORE = {_FIRST, "config.json", "data.json", "plan.json", "plan.toml"}
"""What a run may have without `run.json`: it was stopped while it was started, or started anew."""


class Run:
    """One experiment on disk.

    Of several processes only the first writes there. The others fill a folder of their own that goes with
    them, so that a recipe need not know; of stages that are done they read what the first one left.

    Attributes:
        path: its folder; of another process than the first that folder of its own.
        recipe: name of the recipe that fills it.
        seed: all randomness follows from it.
        fabric: device and precision.
        console: where progress goes.
    """

    def __init__(
        self, path: Path, recipe: str, seed: int, fabric: Fabric, console: Console, key: str
    ) -> None:
        self.recipe, self.seed, self.fabric = recipe, seed, fabric
        self._kept, self._key = path, key
        self._own = None if fabric.is_global_zero else tempfile.TemporaryDirectory(prefix="morula-")
        self.path = path if self._own is None else Path(self._own.name)
        self.console = console if self._own is None else Console(quiet=True)
        self._stages: list[str] = []

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        recipe: str,
        config: Mapping[str, Any],
        data: Mapping[str, Any],
        seed: int,
        fabric: Fabric,
        console: Console | None = None,
        existing: Existing = "continue",
    ) -> Run:
        """Starts a run, or goes on with one that was made from the same recipe, config, data and seed.

        A run that was refused before its first stage is in nobody's way: another one takes its folder.

        Args:
            path: the run's folder.
            recipe: the recipe's name.
            config: JSON values.
            data: what it trains on: uri, shape, axes, nm, fingerprint of every image.
            seed: of all randomness.
            fabric: device and precision.
            console: where progress goes; silent by default.
            existing: what to do with a folder that is there: `continue` an equal run or refuse, `resume`
                (refuse also if there is none), or `overwrite` an earlier run.

        Raises:
            UsageError: the folder holds another run, or files that are no run.
            DataError: another process sees other images.
        """
        key = fingerprint(recipe, config, data, seed)

        def start() -> tuple[Path, str]:
            with writing(path):
                _clear_the_way(path, key, existing)
                path.resolve().mkdir(parents=True, exist_ok=True)  # the folder may be a link to another disk
            if not (path / "run.json").exists():
                write_json(path / _FIRST, provenance(fabric))
                write_json(path / "config.json", config)
                write_json(path / "data.json", data)
                created = datetime.now(UTC).isoformat(timespec="seconds")
                header = {"recipe": recipe, "seed": seed, "created": created, "fingerprint": key}
                write_json(path / "run.json", header)
            return path, key

        path, first = once(fabric, start)
        if key != first:
            found = "process 0 of the training sees other images, or another config"
            raise DataError(path, found, "give all machines the same files and the same version of Morula")
        return cls(path, recipe, seed, fabric, console or Console(quiet=True), key)

    def stage(self, name: str, **inputs: Any) -> Stage:
        """The next stage; skipped by its caller when `done`, refused when it was made from other inputs.

        Args:
            name: its name; the folder is numbered in the order of the calls.
            inputs: all that its result depends on beside the run's config, data and seed.
        """
        self._stages.append(name)
        folder = f"{len(self._stages)}-{name}"
        key = fingerprint(self._key, self._stages, inputs)
        return Stage(self, name, self._kept / folder, self.path / folder, key)

    def close(self) -> None:
        """Ends the training: processes part, and all but the first have nothing left to do here."""
        leave(self.fabric)
        self.path = self._kept
        if self._own is not None:
            self._own.cleanup()

    @property
    def leads(self) -> bool:
        """Whether this is the first process, or the only one."""
        return self._own is None

    def check_ours(self) -> None:
        """Refuses to write into a folder that another training took meanwhile.

        Raises:
            UsageError: the run there is another one, or none.
        """
        header = self._kept / "run.json"
        if not header.exists() or read_json(header)["fingerprint"] != self._key:
            found = "another training took this folder while this one was at work"
            raise UsageError(self._kept, found, "let that one go on, and start this one with another --out")

    def rng(self, name: str) -> Rng:
        """The random stream of this name."""
        return Rng(self.seed, name)


class Stage:
    """One step of a run, with a folder of its own.

    Attributes:
        name: what it is called.
        fingerprint: of all that its result depends on.
        done: whether it was finished before; all processes agree.
    """

    def __init__(self, run: Run, name: str, kept: Path, own: Path, key: str) -> None:
        self.run, self.name, self.fingerprint = run, name, key
        self._kept, self._own = kept, own
        self.done = once(run.fabric, self._start)
        own.mkdir(parents=True, exist_ok=True)

    def _start(self) -> bool:
        self.run.check_ours()
        started = self._kept / "stage.json"
        if started.exists() and read_json(started)["fingerprint"] != self.fingerprint:
            raise UsageError(
                self._kept,
                "this stage was made from other inputs",
                "choose another --out, or add --overwrite",
            )
        write_json(started, {"name": self.name, "fingerprint": self.fingerprint})
        remove_partial(self._kept)
        return has_content(self._kept / "done.json")

    @property
    def path(self) -> Path:
        """Its folder: where this process writes, and once the stage is done, where all read."""
        return self._kept if self.done else self._own

    @property
    def console(self) -> Console:
        """Where progress goes."""
        return self.run.console

    @property
    def summary(self) -> dict[str, Any]:
        """What `finish` was given."""
        return read_json(self._kept / "done.json")

    def rng(self, name: str) -> Rng:
        """A random stream below this stage's name."""
        return self.run.rng(f"{self.name}/{name}")

    def finish(self, **summary: Any) -> None:
        """Marks the stage as done and drops the checkpoint, which nobody needs any more.

        Raises:
            UsageError: another training took the run's folder meanwhile.
        """

        def mark() -> None:
            self.run.check_ours()
            write_json(self._kept / "done.json", summary)
            (self._kept / "state.pt").unlink(missing_ok=True)

        once(self.run.fabric, mark)
        self.done = True

    def checkpoint(self, state: TrainState) -> None:
        """Saves the state, whole or not at all; it is the same on all processes, and the first saves it.

        Raises:
            UsageError: another training took the run's folder meanwhile.
        """
        if not self.run.leads:
            return
        self.run.check_ours()
        with atomic_path(self._kept / "state.pt") as temporary:
            torch.save({**state.state_dict(), "stage": self.fingerprint}, temporary)

    def restore(self, state: TrainState) -> None:
        """Loads the last checkpoint, if there is one.

        Raises:
            DataError: the checkpoint cannot be read, or is of another training.
        """
        path = self._kept / "state.pt"
        if not once(self.run.fabric, path.exists):
            return
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, UnpicklingError) as error:
            raise DataError(
                path, "the checkpoint cannot be read", "delete this file to start the stage again"
            ) from error
        if saved.get("stage", self.fingerprint) != self.fingerprint:
            fix = "end whatever else trains in this folder, then delete this file to start the stage again"
            raise DataError(path, "the checkpoint is of another training", fix)
        state.load_state_dict(saved)
        self.run.fabric.barrier()  # nobody saves or drops it before all have read it

    def save_array(self, name: str, array: Array) -> None:
        """Keeps an array as `<name>.npy`."""
        path = self._own / f"{name}.npy"
        with atomic_path(path) as temporary:
            np.save(temporary, array, allow_pickle=False)

    def load_array(self, name: str) -> Array:
        """The array kept under this name."""
        return np.load(self.path / f"{name}.npy", allow_pickle=False)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(path, "there is no such file", "check that the folder is a Morula run") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            path, "not valid JSON", "restore the file, or start the run again with --overwrite"
        ) from error


def _is_free(folder: Path) -> bool:
    """Whether there is nothing, or what a run that never began has left."""
    names = {each.name for each in visible(folder)}
    return not names or (_FIRST in names and names <= _BEFORE)


def _clear_the_way(path: Path, key: str, existing: Existing) -> None:
    header = path / "run.json"
    if not header.exists():
        if existing == "resume":
            raise UsageError(path, "there is no run to resume", "leave --resume out to start one")
        if path.exists() and not (path.is_dir() and _is_free(path)):
            found = (
                "the folder is not empty and holds no run"
                if path.is_dir()
                else "this is a file, not a folder"
            )
            raise UsageError(path, found, "choose another --out")
    elif existing == "overwrite":
        folder = path.resolve()
        shutil.rmtree(folder.rename(aside_of(folder)), ignore_errors=True)
    elif read_json(header)["fingerprint"] != key:
        if existing == "continue" and not any(path.glob("*/stage.json")):
            header.unlink()  # that run was refused before its first stage, so nothing is lost
            return
        found = "it holds a run with another config, other images or another seed"
        raise UsageError(path, found, "choose another --out, or add --overwrite to replace it")
