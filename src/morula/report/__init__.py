"""One static HTML page: what was done and why, how good it is, how far to trust it, what next."""

from morula.report.content import (
    ColourScale,
    Control,
    Controls,
    Fact,
    Histogram,
    ImageRow,
    Overlay,
    Picture,
    Plan,
    ReportContent,
    Score,
    Stage,
    Table,
)
from morula.report.curves import learning_curves, line_chart
from morula.report.draw import class_colours, colourise, label_colours, overlay, to_rgb8
from morula.report.page import render_report, write_report
from morula.report.projection import draw_segments, projection
from morula.report.view3d import Scene, write_view

__all__ = [
    "ColourScale",
    "Control",
    "Controls",
    "Fact",
    "Histogram",
    "ImageRow",
    "Overlay",
    "Picture",
    "Plan",
    "ReportContent",
    "Scene",
    "Score",
    "Stage",
    "Table",
    "class_colours",
    "colourise",
    "draw_segments",
    "label_colours",
    "learning_curves",
    "line_chart",
    "overlay",
    "projection",
    "render_report",
    "to_rgb8",
    "write_report",
    "write_view",
]
