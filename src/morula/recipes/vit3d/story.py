"""The stages of a run for the report: what each trace taught, and how the loss fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morula.core.types import Array
from morula.engine import Stage, read_json, read_metrics
from morula.recipes.vit3d.stacks import Taught

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["chapters", "save_examples"]

_SHOWN = 3
_NEURON, _UNKNOWN = (255, 112, 31), (46, 168, 255)


def save_examples(stage: Stage, stacks: Sequence[Taught]) -> None:
    """Keeps projections of the first stacks with what is neuron and what is unknown."""
    for stack in stacks[:_SHOWN]:
        stage.save_array(f"taught-{stack.name}", _projected(stack))


def chapters(path: Path) -> list[Chapter]:
    """The stages of a finished run."""
    from morula.report import Picture, line_chart
    from morula.report import Stage as Chapter

    prepared, trained = next(path.glob("*-prepare")), next(path.glob("*-train"))
    summary = read_json(prepared / "done.json")["stacks"]
    pictures = [
        Picture(
            np.load(file), "orange: neuron; blue: unknown, no loss there", file.stem.removeprefix("taught-")
        )
        for file in sorted(prepared.glob("taught-*.npy"))
    ]
    told = _lie(summary)
    curve = read_metrics(trained / "metrics.jsonl")
    chart = Picture(
        line_chart({"loss": (curve["step"], curve["loss"])}, across="step", up="loss"), "The loss."
    )
    return [
        Chapter("What the traces teach", told, pictures=tuple(pictures)),
        Chapter("Training", _told(read_json(trained / "done.json")), pictures=(chart,)),
    ]


def _lie(stacks: Mapping[str, Mapping[str, Any]]) -> str:
    """How the traces lie in their stacks."""
    dark = [name for name, each in stacks.items() if not each.get("stands_out", True)]
    moved = "; ".join(
        f"{name} by {' '.join(f'{step:+g}' for step in each['shift'])}"
        for name, each in stacks.items()
        if any(each["shift"])
    )
    told = [
        f"Some traces were shifted against their stack (z y x, voxels): {moved}. Masks are corrected."
        if moved
        else "Traces lie where the stacks are bright.",
        f"Not so those of {', '.join(dark)}: check that they belong to their stacks." if dark else "",
    ]
    return " ".join(told).strip()


def _told(done: dict[str, Any]) -> str:
    if not done["weights"]:
        return "The encoder learned from scratch."
    return (
        f"The encoder began with natural-image weights ({done['weights']}): {len(done['loaded'])} tensors "
        f"loaded, {len(done['inflated'])} of them inflated, {len(done['skipped'])} left out."
    )


def _projected(stack: Taught) -> Array:
    grey = np.repeat((255 * stack.image.max(axis=0))[..., None], 3, axis=2)
    for mask, colour in ((~stack.known, _UNKNOWN), (stack.mask > 0, _NEURON)):
        shown = mask.any(axis=0)
        grey[shown] = 0.5 * grey[shown] + 0.5 * np.array(colour)
    return grey.astype(np.uint8)
