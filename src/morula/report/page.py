"""The report as one HTML file that opens from disk, without a network and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.colors import to_hex

from morula.core.files import write_text
from morula.core.types import Array
from morula.report.content import ColourScale, Controls, ImageRow, Overlay, Picture, ReportContent, Score
from morula.report.draw import LONG_SIDE, class_colours
from morula.report.encode import picture_uri, svg_uri
from morula.report.plots import histogram_svg, histogram_text, interval_svg

__all__ = ["render_report", "write_report"]

_BUDGET = 8_000_000
_SIDES = (LONG_SIDE, 1000, 800, 640, 480)
_LONG_TABLE = 12
_ROLES = {
    "best": "Best of the set",
    "median": "Typical",
    "worst": "Worst of the set",
    "example": "Example",
}


def write_report(path: Path, content: ReportContent) -> None:
    """Writes `content` as one self-contained HTML file, whole or not at all.

    Raises:
        ResourceError: the disk is full.
        DataError: the folder may not be written to.
    """
    write_text(path, render_report(content))


def render_report(content: ReportContent) -> str:
    """The page as text; pictures shrink step by step until it is below 8 MB, the same way every time."""
    page = ""
    for side in _SIDES:
        page = _render(content, side)
        if len(page) <= _BUDGET:
            break
    return page


def _render(content: ReportContent, side: int) -> str:
    environment = Environment(
        loader=PackageLoader("morula.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template("report.html.j2").render(
        content=content,
        sections=_sections(content),
        legend=_legend(content.class_names),
        overlays=[_overlay(item, side) for item in content.overlays],
        score_chart=_score_chart(content.scores),
        controls=_controls(content, side),
        stages=[
            {"name": stage.name, "what": stage.what, "pictures": [_picture(p, side) for p in stage.pictures]}
            for stage in content.stages
        ],
        charts=[
            {"histogram": item, "uri": svg_uri(histogram_svg(item)), "text": histogram_text(item)}
            for item in content.distributions
            if item.count
        ],
        columns=_columns(content.images),
        long_table=_LONG_TABLE,
    )


def _sections(content: ReportContent) -> dict[str, str]:
    """Id and short name of each section that has something to show, in the order of the page."""
    plan, controls = content.what_and_why, content.controls
    present = {
        "result": ("Result", content.overlays),
        "why": ("What and why", plan.paragraphs or plan.reasons),
        "scores": ("Scores", content.scores or (content.image_scores and content.image_scores.rows)),
        "controls": ("Controls", controls.methods or controls.note),
        "trust": ("Trust", content.trust),
        "next": ("Next", content.next_steps),
        "steps": ("Steps", content.stages),
        "objects": ("Objects", any(item.count for item in content.distributions)),
        "neurons": ("Neurons", content.neurons and content.neurons.rows),
        "images": ("Images", content.images),
        "record": ("Record", content.provenance or content.reproduce),
    }
    return {key: name for key, (name, something) in present.items() if something}


def _picture(picture: Picture, side: int) -> dict[str, Any]:
    return {
        "name": picture.name,
        "caption": picture.caption,
        "alt": picture.alt or ". ".join(filter(None, (picture.name, picture.caption))) or "picture",
        "scale": picture.scale,
        "gradient": _gradient(picture.scale),
        "bar": _scale_bar(picture.width_um),
        **_image(picture.pixels, side),
    }


def _overlay(item: Overlay, side: int) -> dict[str, Any]:
    role = _ROLES[item.role]
    return {
        "item": item,
        "role": role,
        "alt": f"{item.image} with the contours of the objects found ({role.lower()})",
        "bar": _scale_bar(item.width_um),
        "original": None if item.original is None else _image(item.original, side),
        **_image(item.pixels, side),
    }


def _image(pixels: Array, side: int) -> dict[str, Any]:
    uri, width, height = picture_uri(pixels, side)
    # Pixels that were enlarged by the page alone would blur; a map of few pixels keeps them square.
    return {"uri": uri, "width": width, "height": height, "tiny": max(width, height) < 300}


def _gradient(scale: ColourScale | None) -> str:
    if scale is None:
        return ""
    colours = matplotlib.colormaps[scale.colours]
    return ", ".join(to_hex(colours(step / 8)) for step in range(9))


def _scale_bar(width_um: float | None) -> dict[str, str] | None:
    """A round length near a fifth of the field, and the share of the width that it takes."""
    if width_um is None:
        return None
    steps = [base * 10.0**power for power in range(-3, 6) for base in (1, 2, 5)]
    length = max((step for step in steps if step <= 0.26 * width_um), default=steps[0])
    text = (
        f"{length * 1000:g} nm"
        if length < 1
        else f"{length:g} µm"
        if length < 1000
        else f"{length / 1000:g} mm"
    )
    return {"text": text, "percent": f"{100 * length / width_um:.2f}"}


def _legend(names: Sequence[str]) -> list[tuple[str, str]]:
    if len(names) < 2:
        return []
    return [(name, "#{:02x}{:02x}{:02x}".format(*colour)) for name, colour in _in_order(names)]


def _in_order(names: Sequence[str]) -> Iterable[tuple[str, tuple[int, int, int]]]:
    colours = class_colours(names)
    return ((name, colours[name]) for name in dict.fromkeys(names))


def _score_chart(scores: Sequence[Score]) -> dict[str, str] | None:
    """Only measures between 0 and 1 of which more is better share an axis; the table holds them all."""
    bounded = [
        score
        for score in scores
        if score.higher_is_better
        and all(0 <= end <= 1 for end in (score.mean, score.low, score.high) if end is not None)
    ]
    if len(bounded) < 2:
        return None
    listed = ", ".join(f"{score.measure} {score.mean:.2f}" for score in bounded)
    return {"uri": svg_uri(interval_svg(bounded)), "alt": f"Mean of each measure with its interval: {listed}"}


def _controls(content: ReportContent, side: int) -> dict[str, Any]:
    controls, columns = content.controls, []
    for index, measure in enumerate(controls.measures):
        known = [m.values[index] for m in controls.methods if m.values]
        finite = [value for value in known if value is not None]
        best = (min if measure in controls.lower else max)(finite, default=None)
        columns.append({"measure": measure, "best": best, "top": max([1.0, *finite])})
    return {
        "columns": columns,
        "rows": [
            {
                "method": method,
                "cells": [
                    _bar(method.values[index] if method.values else None, column)
                    for index, column in enumerate(columns)
                ],
                "picture": _picture(method.picture, side) if method.picture else None,
            }
            for method in controls.methods
        ],
        "verdicts": _verdicts(controls, {score.measure: score for score in content.scores}),
    }


def _bar(value: float | None, column: dict[str, Any]) -> dict[str, Any]:
    percent = 0.0 if value is None else 100 * max(0.0, value) / column["top"]
    return {
        "value": value,
        "percent": f"{percent:.1f}",
        "best": value is not None and value == column["best"],
    }


def _verdicts(controls: Controls, scores: dict[str, Score]) -> list[tuple[str, str]]:
    """For each measure, whether the result `won`, `lost` or is `even` with the best control, in words."""
    result = next((method for method in controls.methods if method.is_result and method.values), None)
    if result is None:
        return []
    verdicts = []
    for index, measure in enumerate(controls.measures):
        own = result.values[index]
        rivals = [
            (value, method.name)
            for method in controls.methods
            if method is not result and method.values and (value := method.values[index]) is not None
        ]
        if own is not None and rivals:
            sign = -1 if measure in controls.lower else 1
            value, name = max(rivals, key=lambda rival: (sign * rival[0], rival[1]))
            score = scores.get(measure)
            verdicts.append(_verdict(measure, own, value, name, score, ahead=sign * own > sign * value))
    return verdicts


def _verdict(
    measure: str, own: float, value: float, name: str, score: Score | None, *, ahead: bool
) -> tuple[str, str]:
    pair = f"{_number(own)} against {_number(value)}"
    if own == value:
        return "even", f"{measure}: no better than “{name}” ({pair})."
    if score is not None and _within(value, score.low, score.high):
        return (
            "even",
            f"{measure}: too close to call; “{name}” lies within the interval of the result ({pair}).",
        )
    if ahead:
        return "won", f"{measure}: ahead of every control measured; the closest is “{name}” ({pair})."
    return "lost", f"{measure}: behind “{name}” ({pair}). Consider using that instead."


def _within(value: float, low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low <= value <= high


def _columns(rows: Sequence[ImageRow]) -> dict[str, bool]:
    """Which optional columns of the image table hold anything."""
    return {
        "area": any(row.median_area is not None for row in rows),
        "score": any(row.mean_score is not None for row in rows),
        "flag": any(row.flag for row in rows),
    }


def _number(value: str | float | None) -> str:
    """A table cell: text as it is, counts with thousands separators, other numbers to three digits.

    >>> _number(12345), _number(0.61234), _number(84.26), _number(1234.5), _number(None)
    ('12,345', '0.612', '84.3', '1,234', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
