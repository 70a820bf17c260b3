"""Trained tensors with what one must know to use them: safetensors plus JSON, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from morula.core.errors import DataError
from morula.core.files import atomic_path

__all__ = ["Inflate", "LoadReport", "Weights", "WeightsInfo"]

Inflate = Callable[[Tensor, torch.Size], Tensor | None]


@dataclass(frozen=True)
class WeightsInfo:
    """What the tensors are.

    Attributes:
        network: name of the builder in `morula.nets`.
        arguments: what the builder is called with.
        kind: a whole `network`, or an `encoder` to fine-tune from.
        parents: fingerprints or names of the weights that training began from.
        licence: of the weights.
    """

    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kind: Literal["encoder", "network"] = "network"
    parents: tuple[str, ...] = ()
    licence: str = "MIT"


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
        info: dict[str, Any] = json.loads(described)
        info["parents"] = tuple(info["parents"])
        return cls(tensors, WeightsInfo(**info))

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


def _fit(tensor: Tensor, shape: torch.Size, inflate: Inflate | None) -> Tensor | None:
    if tensor.shape == shape:
        return tensor
    fitted = inflate(tensor, shape) if inflate else None
    return fitted if fitted is not None and fitted.shape == shape else None
