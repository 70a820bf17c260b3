"""Charts as SVG text in the page's own type and colours, light and dark; no pyplot, no state left behind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from morula.core.types import Array
from morula.report.content import Histogram, Score
from morula.report.draw import class_colours

__all__ = ["FONT", "histogram_svg", "histogram_text", "interval_svg"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"
"""The page's typeface, as CSS."""

_PIXELS = 72  # matplotlib writes SVG at 72 dots per inch, so a point is a pixel
_INK, _MUTED, _GRID, _ACCENT = "#010203", "#010204", "#010205", "#010206"  # replaced by CSS variables
_STYLE = """<style>
:root { --ink: #1f2a2e; --muted: #566469; --grid: #dfe2dd; --accent: #0d7a70; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9e6; --muted: #a3b0b2; --grid: #333c40; --accent: #4fc4b4; }
}
</style>"""


def histogram_svg(histogram: Histogram) -> str:
    """One curve of bars per class and the median of all, as SVG text."""
    figure, axes = _figure(410, 235)
    low, high = _span(histogram)
    edges = np.linspace(low, high, _bins(histogram.count) + 1)
    series = {name: _finite(values) for name, values in histogram.values.items()}
    colours = class_colours(list(series)) if len(series) > 1 else {}
    for name, values in series.items():
        colour = "#{:02x}{:02x}{:02x}".format(*colours[name]) if name in colours else _ACCENT
        shown = np.clip(values, low, high)
        if not colours:
            axes.hist(shown, edges.tolist(), color=colour, alpha=0.85, rwidth=0.94)
            continue
        face, edge = (colour, 0.28), (colour, 1.0)
        axes.hist(shown, edges.tolist(), histtype="stepfilled", fc=face, ec=edge, lw=2, label=name)
    _median(axes, np.concatenate(list(series.values())), histogram.unit, (low, high))
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{histogram.quantity} ({histogram.unit})" if histogram.unit else histogram.quantity)
    axes.set_ylabel("objects")
    axes.grid(axis="y", color=_GRID, linewidth=1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.margins(y=0.16)
    if colours:
        axes.legend(frameon=False, fontsize=12, labelcolor=_INK, loc="upper right", handlelength=1)
    return _svg(figure)


def histogram_text(histogram: Histogram) -> str:
    """What the histogram shows in one sentence, and what lies beyond its axis.

    >>> histogram_text(Histogram("Size", {"": np.array([1.0, 2.0, 3.0])}, "area", "px"))
    'Median area 2 px; the middle half lies between 1.5 and 2.5 px (3 objects).'
    """
    values = np.concatenate([_finite(series) for series in histogram.values.values()])
    quarter, median, three = np.percentile(values, (25, 50, 75))
    unit = f" {histogram.unit}" if histogram.unit else ""
    text = (
        f"Median {histogram.quantity} {_number(median)}{unit}; the middle half lies between "
        f"{_number(quarter)} and {_number(three)}{unit} ({len(values):,} object{'s' * (len(values) != 1)})."
    )
    low, high = _span(histogram)
    if beyond := int(((values > high) | (values < low)).sum()):
        text += (
            f" The outermost bars also hold {beyond:,} beyond the axis (up to {_number(values.max())}{unit})."
        )
    return text


def interval_svg(scores: Sequence[Score]) -> str:
    """Means as dots and their intervals as lines, on a common axis from 0 to 1, as SVG text."""
    figure, axes = _figure(410, 54 + 34 * len(scores))
    for row, score in enumerate(scores):
        y = len(scores) - 1 - row
        axes.plot([0, 1], [y, y], color=_GRID, linewidth=1, zorder=1)
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [y, y], color=_ACCENT, linewidth=7, alpha=0.35, zorder=2)
        axes.plot([score.mean], [y], "o", color=_ACCENT, markersize=9, zorder=3)
        axes.text(1.03, y, f"{score.mean:.2f}", va="center", fontsize=13, fontweight="bold", color=_INK)
    axes.set_yticks(range(len(scores)), [score.measure for score in reversed(scores)])
    axes.tick_params(axis="y", labelsize=13, labelcolor=_INK)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.6, len(scores) - 0.4)
    axes.set_xlabel("score, with 95 % interval")
    axes.spines["bottom"].set_visible(False)
    axes.grid(axis="x", color=_GRID, linewidth=1)
    return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / _PIXELS, height / _PIXELS), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_MUTED)
    axes.tick_params(labelsize=12, labelcolor=_MUTED, length=0, pad=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=_MUTED, fontsize=12)
    return figure, axes


def _median(axes: Axes, values: Array, unit: str, span: tuple[float, float]) -> None:
    median = float(np.median(values))
    axes.axvline(median, color=_INK, linewidth=1.4, linestyle=(0, (4, 3)))
    late = median > span[0] + 0.6 * (span[1] - span[0])
    axes.annotate(
        f"median {_number(median)} {unit}".strip(),
        (median, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if late else 6, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top",
        fontsize=12,
        color=_INK,
    )


def _svg(figure: Figure) -> str:
    stream = StringIO()
    # The context restores every setting; text stays text, and ids depend on the drawing alone.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "morula", "font.family": "sans-serif"}
    ):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Matplotlib has written the family both as `font-family: ...` and at the end of `font: ...`.
    text = re.sub(r"(font-family: |font: [^;\"]*?[\d.]+px )[^;\"]*", lambda match: match[1] + FONT, text)
    for sentinel, name in ((_INK, "ink"), (_MUTED, "muted"), (_GRID, "grid"), (_ACCENT, "accent")):
        text = text.replace(sentinel, f"var(--{name})")
    head = text.index(">") + 1
    return text[:head] + _STYLE + text[head:]


def _finite(values: Array) -> Array:
    numbers = np.asarray(values, np.float64).ravel()
    return numbers[np.isfinite(numbers)]


def _span(histogram: Histogram) -> tuple[float, float]:
    if histogram.limits is not None:
        return histogram.limits
    values = np.concatenate([_finite(series) for series in histogram.values.values()])
    low, high = float(values.min()), float(values.max())
    usual = float(np.percentile(values, 99))
    if high > 2 * usual > 0:  # a few giants would squeeze everybody else into the first bar
        high = usual
    low = 0.0 if 0 <= low < 0.5 * high else low
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _bins(count: int) -> int:
    return int(np.clip(round(2 * count ** (1 / 3)), 8, 40))


def _number(value: float) -> str:
    """Three significant digits, without an exponent.

    >>> _number(1234.5), _number(84.23), _number(0.8712), _number(2.0)
    ('1,234', '84.2', '0.871', '2')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}" if value else "0"
