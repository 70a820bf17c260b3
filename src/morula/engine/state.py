"""Everything that changes while training, under names, with one `state_dict`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["Stateful", "TrainState"]


@runtime_checkable
class Stateful(Protocol):
    """A module, an optimiser, a queue: anything that can be saved and restored exactly."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and containers of these."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Restores what `state_dict` gave."""
        ...


class TrainState:
    """Named modules, optimisers and queues, and the step that comes next.

    A resumed training is bit-equal to an uninterrupted one only if all that changes is named here.

    Args:
        parts: what to save, by name.

    Raises:
        TypeError: a part cannot be saved.
    """

    def __init__(self, **parts: Any) -> None:
        for name, part in parts.items():
            if not isinstance(part, Stateful):
                raise TypeError(f"{name}: {type(part).__name__} has no state_dict and load_state_dict")
        self.parts: dict[str, Stateful] = parts
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        """The step and the state of every part."""
        return {"step": self.step, "parts": {name: part.state_dict() for name, part in self.parts.items()}}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restores all parts.

        Raises:
            ValueError: the saved names are not the names of this state.
        """
        if saved["parts"].keys() != self.parts.keys():
            raise ValueError(f"saved parts are {sorted(saved['parts'])}, expected {sorted(self.parts)}")
        for name, part in self.parts.items():
            part.load_state_dict(saved["parts"][name])
        self.step = int(saved["step"])
