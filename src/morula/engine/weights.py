"""Trained tensors with what one must know to use them: safetensors plus JSON, nothing pickled."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, cast
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)
from torch import Tensor, nn

from morula.core.errors import DataError, reason_of
from morula.core.files import atomic_path
from morula.core.hashing import fingerprint

__all__ = ["Inflate", "LoadReport", "Weights", "WeightsInfo", "read_tensors", "weights_file"]

_UNREADABLE = (
    OSError, ValueError, TypeError, RuntimeError, EOFError, BadZipFile, UnpicklingError, SafetensorError
)  # fmt: skip

Inflate = Callable[[Tensor, torch.Size], Tensor | None]


@dataclass(frozen=True)
class WeightsInfo:
    """What the tensors are.

    Attributes:
        network: a name for the architecture, that of the file for weights of others.
        arguments: JSON values that the architecture was built with, where its recipe compares them.
        kind: a whole `network`, or an `encoder` to fine-tune from.
        parents: fingerprints or names of the weights that training began from.
    """

    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kind: Literal["encoder", "network"] = "network"
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor.

    Attributes:
        loaded: names in the module that were filled.
        inflated: of these, names whose tensor was reshaped on the way.
        skipped: names in the file that fit nowhere.
        missing: names in the module that nothing filled.
    """

    loaded: tuple[str, ...]
    inflated: tuple[str, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and their description."""

    tensors: Mapping[str, Tensor]
    info: WeightsInfo

    @classmethod
    def of(cls, module: nn.Module, info: WeightsInfo) -> Weights:
        """A copy of the module's parameters and buffers on the CPU."""
        state = {
            name: value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()
        }
        return cls(state, info)

    @classmethod
    def load(cls, path: Path) -> Weights:
        """Reads a file that `save` wrote.

        Raises:
            DataError: the file is missing, damaged, or has no description.
        """
        try:
            opened: Any = safe_open(path, framework="pt")
            with opened as stream:
                described: str | None = dict(stream.metadata() or {}).get("morula")
                tensors: dict[str, Tensor] = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DataError(
                path, "the weights cannot be read", "train again, or copy the file again"
            ) from error
        if described is None:
            raise DataError(
                path, "the file does not say which network it is for", "use weights that Morula saved"
            )
        try:
            info: dict[str, Any] = json.loads(described)
            info["parents"] = tuple(info["parents"])
            info.pop("licence", None)  # which earlier versions wrote, whatever the weights began from
            return cls(tensors, WeightsInfo(**info))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found = f"what it says of its network cannot be read ({reason_of(error)})"
            raise DataError(path, found, "use the version of Morula that saved it, or a later one") from error

    @property
    def fingerprint(self) -> str:
        """Of the values of all tensors, in the order of their names; the description does not count."""
        return fingerprint(*(self.tensors[name].detach().float().numpy() for name in sorted(self.tensors)))

    def save(self, path: Path) -> None:
        """Writes `path` whole or not at all; the description travels inside the file."""
        with atomic_path(path) as temporary:
            save_file(dict(self.tensors), temporary, metadata={"morula": json.dumps(asdict(self.info))})

    def load_into(
        self,
        module: nn.Module,
        *,
        rename: Callable[[str], str | None] | None = None,
        inflate: Inflate | None = None,
    ) -> LoadReport:
        """Copies the tensors that fit into `module` and lists the fate of all.

        Args:
            module: changed in place.
            rename: the module's name for a stored name; None for a tensor to leave out.
            inflate: given a stored tensor and the shape wanted, the tensor to use, or None if it cannot.
        """
        target = module.state_dict()
        filled: dict[str, Tensor] = {}
        inflated: list[str] = []
        skipped: list[str] = []
        for stored, tensor in self.tensors.items():
            name = rename(stored) if rename else stored
            fitted = None if name is None or name not in target else _fit(tensor, target[name].shape, inflate)
            if name is None or fitted is None:
                skipped.append(stored)
                continue
            filled[name] = fitted
            if fitted is not tensor:
                inflated.append(name)
        module.load_state_dict(filled, strict=False)
        missing = tuple(name for name in target if name not in filled)
        return LoadReport(tuple(filled), tuple(inflated), tuple(skipped), missing)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a `.safetensors`, `.npz` or torch file; of a checkpoint of DINO's the teacher's.

    Raises:
        DataError: no file of these kinds, or it holds something else.
    """
    fix = "name a .safetensors, .npz or .pth file with weights"
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return {name: torch.tensor(stored[name]) for name in stored.files}
        with torch.serialization.safe_globals([argparse.Namespace]):  # the arguments that DINO stores
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(path, "there is no such file", fix) from error
    except _UNREADABLE as error:
        raise DataError(path, f"these weights cannot be read: {_reason(error)}", fix) from error
    if isinstance(found, Mapping):
        inner = cast("Mapping[str, Any]", found)
        for name in ("teacher", "state_dict", "model"):
            if isinstance(inner.get(name), Mapping):
                inner = cast("Mapping[str, Any]", inner[name])
        tensors = {name: value for name, value in inner.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
    raise DataError(path, "there are no named tensors in it", fix)


def weights_file(path: Path) -> Path:
    """A file, or of a run's folder the file with what it learned without labels, else with what it trained.

    Raises:
        DataError: the folder has neither, or a stage in it is not finished.
    """
    if not path.is_dir():
        return path
    begun = sorted(each.parent for each in path.glob("*/stage.json"))
    unfinished = next((stage for stage in begun if not (stage / "done.json").exists()), None)
    if unfinished is not None:
        found = f"its stage {unfinished.name} is not finished"
        raise DataError(
            path, found, "repeat the command that started it, which goes on, or name a file in it"
        )
    places = (
        *(f"*-self-training-{number}/*.safetensors" for number in range(9, 0, -1)),
        "*-pretrain/*.safetensors",
        "model/network.safetensors",
    )
    file = next((each for place in places for each in sorted(path.glob(place))), None)
    if file is None:
        raise DataError(path, "there are no weights in this folder", "name a finished run, or a file")
    return file


def _reason(error: Exception) -> str:
    """The first sentence of what was wrong, without torch's advice around it."""
    told = str(error).split("WeightsUnpickler error: ")[-1].strip()
    return (told.splitlines() or [type(error).__name__])[0].split(". ")[0]


def _fit(tensor: Tensor, shape: torch.Size, inflate: Inflate | None) -> Tensor | None:
    if tensor.shape == shape:
        return tensor
    fitted = inflate(tensor, shape) if inflate else None
    return fitted if fitted is not None and fitted.shape == shape else None
