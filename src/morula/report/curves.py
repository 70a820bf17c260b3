"""Line charts as pictures, for the stages of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morula.core.types import Array

__all__ = ["learning_curves", "line_chart"]

_COLOURS = ("#0d7a70", "#d55e00", "#0072b2", "#cc79a7", "#5f6b6d")


def line_chart(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    across: str,
    up: str,
    mark: Mapping[str, float] | None = None,
) -> Array:
    """`(y, x, 3)` uint8: one line a name, on a white ground.

    Args:
        lines: name -> the values across and up; values that are not finite leave a gap.
        across: label of the horizontal axis.
        up: label of the vertical axis.
        mark: name -> a place across, drawn as a dashed line.
    """
    figure = Figure(figsize=(6.4, 3.4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for number, (name, (x, y)) in enumerate(lines.items()):
        style = "o-" if len(x) < 40 else "-"
        axes.plot(np.asarray(x), np.asarray(y), style, ms=3.5, lw=1.6, color=_COLOURS[number % 5], label=name)
    for number, (name, place) in enumerate((mark or {}).items()):
        axes.axvline(place, color=_COLOURS[::-1][number % 5], lw=1.2, ls="--", label=name)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color="#dfe2dd", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if lines or mark:
        axes.legend(frameon=False, fontsize=9)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def learning_curves(logged: Mapping[str, Sequence[float]]) -> Array:
    """What a training logged over its steps, as `line_chart` draws it.

    Args:
        logged: name -> values; `step` is one of the names.
    """
    lines = {name: (logged["step"], values) for name, values in logged.items() if name != "step"}
    return line_chart(lines, across="step", up="value")
