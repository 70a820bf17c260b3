"""The stages as pictures for the report: both domains, learning curves, and how the checkpoint was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morula.core.types import Array
from morula.engine import Stage, read_json, read_metrics
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops
from morula.recipes.emda.domains import Domains

if TYPE_CHECKING:
    from morula.report import Picture
    from morula.report import Stage as Chapter

__all__ = ["chapters", "save_histograms"]

_BATCHES = 16  # of source crops, whose grey values are counted after style and variation


def save_histograms(stage: Stage, domains: Domains, config: EmdaConfig) -> None:
    """Keeps the grey value histograms of both domains, and of the source as it is trained on."""
    crops = Crops(domains, config, stage.rng("histogram"))
    seen = np.concatenate([crops.labelled(index).image.numpy().ravel() for index in range(_BATCHES)])
    rows = [
        _histogram(np.concatenate([stack.ravel() for stack in domains.source.images])),
        _histogram(seen * 255),
        _histogram(np.concatenate([stack.ravel() for stack in domains.target.images])),
    ]
    stage.save_array("histograms", np.stack(rows))


def chapters(path: Path) -> list[Chapter]:
    """One chapter a stage, in the order of the algorithm.

    Args:
        path: folder of a finished run.
    """
    from morula.report import Stage as Chapter

    prepared = next(path.glob("*-prepare"))
    settled = read_json(next(path.glob("*-zoom")) / "done.json")
    sizes = _about_sizes({**read_json(prepared / "done.json"), **settled})
    told = [Chapter("Domains", sizes, (*_domains(prepared), *_zooms(settled)))]
    for stage in sorted(path.glob("[0-9]*-*"), key=lambda folder: int(folder.name.split("-")[0])):
        if (stage / "metrics.jsonl").exists():
            told.append(Chapter(f"Stage {stage.name}", "The losses over the training.", (_curve(stage),)))
    select = next(path.glob("*-select"))
    summary = read_json(select / "done.json")
    return [*told, Chapter("Choice of the checkpoint", _about_choice(summary), _choice(path, summary))]


def _about_sizes(summary: dict[str, Any]) -> str:
    if not summary["common"]:
        return "Pixels were taken as they are; nothing was resampled."
    zooms = ", ".join(f"{zoom:.2f}" for zoom in [*summary["source_zooms"], *summary["target_zooms"]])
    size = "one pixel size" if summary["pixel_nm"] is None else f"{summary['pixel_nm']:.3g} nm a pixel"
    text = f"All sections were resampled to {size} (zoom of each volume: {zooms})."
    if summary["ratio"] is not None:
        text += (
            f" A target pixel was estimated to be {summary['ratio']:.2f} times a source pixel, from the "
            "images alone."
        )
    return text


def _domains(stage: Path) -> tuple[Picture, ...]:
    from morula.report import Picture, line_chart, to_rgb8

    grey = np.arange(256).tolist()
    names = ("source", "source in training", "target")
    rows = np.load(stage / "histograms.npy", allow_pickle=False)
    lines = {name: (grey, row.tolist()) for name, row in zip(names, rows, strict=True)}
    chart = line_chart(lines, across="grey value", up="share of pixels")
    shown = [
        Picture(to_rgb8(np.load(stage / f"{name}.npy")[..., None]), caption, name)
        for name, caption in (
            ("source", "The middle section, as the network sees it."),
            ("target", "The same of the target."),
        )
    ]
    return (*shown, Picture(chart, "Histograms of the domains, before and after the style transfer."))


def _zooms(summary: dict[str, Any]) -> tuple[Picture, ...]:
    """Scores of the zooms that were tried, where the target's pixel size had to be found."""
    from morula.report import Picture, line_chart

    if not summary["zooms"]:
        return ()
    order = np.argsort(summary["zooms"])
    lines = [np.array(summary[name])[order].tolist() for name in ("zooms", "scores")]
    chart = line_chart(
        {"composite score": (lines[0], lines[1])},
        across="common pixels per stored pixel of the target",
        up="score",
        mark={"taken": summary["zoom"]},
    )
    return (Picture(chart, "The target's pixel size, found without labels: higher is better."),)


def _curve(stage: Path) -> Picture:
    from morula.report import Picture, learning_curves

    return Picture(learning_curves(read_metrics(stage / "metrics.jsonl")), "Learning curves.")


def _about_choice(summary: dict[str, Any]) -> str:
    steps = summary["chosen"]
    text = (
        f"The criterion {summary['select']!r} took step {steps[summary['select']]}. The published solidity "
        f"criterion would take step {steps['solidity']}, the composite {steps['composite']}, the last is "
        f"{steps['last']}. None of them sees a label of the target."
    )
    rows = {row["step"]: row for row in summary["candidates"]}
    against = rows[steps[summary["select"]]]["objections"]
    if against:
        none = all(row["objections"] for row in rows.values())
        which = "No checkpoint is plausible; of this one" if none else "This checkpoint is not plausible"
        text += f" {which}: {'; '.join(against)}. Do not trust this result."
    return text


def _choice(path: Path, summary: dict[str, Any]) -> tuple[Picture, ...]:
    from morula.report import Picture, line_chart

    rows: Sequence[dict[str, Any]] = summary["candidates"]
    steps = [row["step"] for row in rows]
    taken = {f"taken by {summary['select']}": float(summary["chosen"][summary["select"]])}

    def chart(name: str, values: Sequence[float]) -> Array:
        return line_chart({name: (steps, values)}, across="step", up=name, mark=taken)

    pictures = [
        Picture(chart("composite score", [row["composite"] for row in rows]), "Higher is better."),
        Picture(chart("distance of solidity", [row["distance"] for row in rows]), "Lower is better."),
    ]
    scored = path / "checkpoints" / "scores.json"
    if scored.exists():
        found = read_json(scored)
        values = [float(found[str(step)]) for step in steps]
        note = (
            f"Oracle, from the labels given for evaluation: the best is step {steps[int(np.argmax(values))]}."
        )
        pictures.append(Picture(chart("IoU on the target", values), note))
    return tuple(pictures)


def _histogram(values: Array) -> Array:
    counts = np.bincount(np.clip(np.round(values), 0, 255).astype(np.intp), minlength=256)
    return counts / max(int(counts.sum()), 1)
