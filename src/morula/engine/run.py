"""A run is a directory: typed paths, one random stream per name, stages that are done once."""

from __future__ import annotations

import json
import shutil
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
from morula.core.files import atomic_path, write_json
from morula.core.hashing import fingerprint
from morula.core.rng import Rng
from morula.core.types import Array
from morula.engine.provenance import provenance
from morula.engine.state import TrainState

__all__ = ["Existing", "Run", "Stage", "read_json"]

Existing = Literal["continue", "resume", "overwrite"]


class Run:
    """One experiment on disk.

    Attributes:
        path: its folder.
        recipe: name of the recipe that fills it.
        seed: all randomness follows from it.
        fabric: device and precision.
        console: where progress goes.
    """

    def __init__(
        self, path: Path, recipe: str, seed: int, fabric: Fabric, console: Console, key: str
    ) -> None:
        self.path, self.recipe, self.seed, self.fabric, self.console = path, recipe, seed, fabric, console
        self._key = key
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
        """
        key = fingerprint(recipe, config, data, seed)
        _clear_the_way(path, key, existing)
        if not (path / "run.json").exists():
            write_json(path / "config.json", config)
            write_json(path / "data.json", data)
            write_json(path / "provenance.json", provenance(fabric))
            created = datetime.now(UTC).isoformat(timespec="seconds")
            header = {"recipe": recipe, "seed": seed, "created": created, "fingerprint": key}
            write_json(path / "run.json", header)
        return cls(path, recipe, seed, fabric, console or Console(quiet=True), key)

    def stage(self, name: str, **inputs: Any) -> Stage:
        """The next stage; skipped by its caller when `done`, refused when it was made from other inputs.

        Args:
            name: its name; the folder is numbered in the order of the calls.
            inputs: all that its result depends on beside the run's config, data and seed.
        """
        self._stages.append(name)
        folder = self.path / f"{len(self._stages)}-{name}"
        return Stage(self, name, folder, fingerprint(self._key, self._stages, inputs))

    def rng(self, name: str) -> Rng:
        """The random stream of this name."""
        return Rng(self.seed, name)


class Stage:
    """One step of a run, with a folder of its own.

    Attributes:
        name: what it is called.
        path: its folder.
        fingerprint: of all that its result depends on.
    """

    def __init__(self, run: Run, name: str, path: Path, key: str) -> None:
        self.run, self.name, self.path, self.fingerprint = run, name, path, key
        started = path / "stage.json"
        if started.exists() and read_json(started)["fingerprint"] != key:
            raise UsageError(
                path, "this stage was made from other inputs", "choose another --out, or add --overwrite"
            )
        write_json(started, {"name": name, "fingerprint": key})

    @property
    def console(self) -> Console:
        """Where progress goes."""
        return self.run.console

    @property
    def done(self) -> bool:
        """Whether it was finished before."""
        return (self.path / "done.json").exists()

    @property
    def summary(self) -> dict[str, Any]:
        """What `finish` was given."""
        return read_json(self.path / "done.json")

    def rng(self, name: str) -> Rng:
        """A random stream below this stage's name."""
        return self.run.rng(f"{self.name}/{name}")

    def finish(self, **summary: Any) -> None:
        """Marks the stage as done and drops the checkpoint, which nobody needs any more."""
        write_json(self.path / "done.json", summary)
        (self.path / "state.pt").unlink(missing_ok=True)

    def checkpoint(self, state: TrainState) -> None:
        """Saves the state, whole or not at all."""
        with atomic_path(self.path / "state.pt") as temporary:
            torch.save(state.state_dict(), temporary)

    def restore(self, state: TrainState) -> None:
        """Loads the last checkpoint, if there is one.

        Raises:
            DataError: the checkpoint cannot be read.
        """
        path = self.path / "state.pt"
        if not path.exists():
            return
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, UnpicklingError) as error:
            raise DataError(
                path, "the checkpoint cannot be read", "delete this file to start the stage again"
            ) from error
        state.load_state_dict(saved)

    def save_array(self, name: str, array: Array) -> None:
        """Keeps an array as `<name>.npy`."""
        path = self.path / f"{name}.npy"
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


def _clear_the_way(path: Path, key: str, existing: Existing) -> None:
    header = path / "run.json"
    if not header.exists():
        if existing == "resume":
            raise UsageError(path, "there is no run to resume", "leave --resume out to start one")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            found = (
                "the folder is not empty and holds no run"
                if path.is_dir()
                else "this is a file, not a folder"
            )
            raise UsageError(path, found, "choose another --out")
    elif existing == "overwrite":
        shutil.rmtree(path)
    elif read_json(header)["fingerprint"] != key:
        found = "it holds a run with another config, other images or another seed"
        raise UsageError(path, found, "choose another --out, or add --overwrite to replace it")
