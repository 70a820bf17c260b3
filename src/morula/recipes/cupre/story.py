"""The stages as pictures for the report, from the arrays that the stages left on disk."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morula.recipes.cupre.curve import STAGE

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["chapters"]

_SHOWN = 5  # images of the ranking
_ENOUGH = 4  # images whose mean score is told without a warning


def chapters(path: Path) -> list[Chapter]:
    """One chapter a stage, in the order of the algorithm.

    Args:
        path: folder of a finished run.
    """
    from morula.engine import read_json
    from morula.report import Picture, Stage, colourise, overlay, to_rgb8

    def array(stage: str, name: str) -> np.ndarray:
        return np.load(next(path.glob(f"*-{stage}")) / f"{name}.npy", allow_pickle=False)

    prepared = read_json(next(path.glob("*-prepare")) / "done.json")
    labelled, trust = prepared["labelled"], read_json(path / "model" / "model.json")["config"]["trust"]
    view = to_rgb8(array("prepare", "density").astype(np.float32))
    given = f"{sum(labelled.values())} objects in {len(labelled)} labelled image(s): {', '.join(labelled)}."
    given += _agreement(prepared["overlaps"], trust)
    told = [
        Stage("Labels", given, (Picture(overlay(view, array("prepare", "labels")), "The first of them"),))
    ]
    for stage in sorted(path.glob("*-train*")):
        if not (stage / "learned.npy").exists():
            continue
        image = to_rgb8(np.load(stage / "density.npy").astype(np.float32))
        learned = Picture(overlay(image, np.load(stage / "learned.npy")), "Learned from, by confidence")
        found = Picture(
            colourise(np.load(stage / "foreground.npy").astype(np.float32)), "Foreground found afterwards"
        )
        first = stage.name.endswith("-train")
        whose = "closed contours, found without labels" if first else "what the network found before"
        text = f"Beside the labels, the network learns from images without: {whose}."
        told.append(Stage("First training" if first else "The teacher's labels", text, (learned, found)))
    with (path / "report" / "label_next.csv").open(newline="", encoding="utf-8") as stream:
        names = [row["image"] for row in csv.DictReader(stream)]
    if names:
        text = f"Most doubt, and most unlike what is labelled: {', '.join(names[:_SHOWN])}."
        told.append(Stage("Label these next", text + " The whole ranking is report/label_next.csv."))
    points = [read_json(stage / "done.json") for stage in path.glob(f"*-{STAGE}-*")]
    return [*told, _curve(points)] if points else told


def _agreement(overlaps: Mapping[str, float], trust: float) -> str:
    """How far contours found without labels can be trusted with the kinds that have some."""
    if not overlaps:
        return ""
    shares = ", ".join(f"{share:.2f} in {kind}" for kind, share in overlaps.items())
    return (
        f" Contours that need no labels agree with these in the pixels by an IoU of {shares}; from "
        f"{trust:.2f} on they teach, too, on all other images of the kind."
    )


def _curve(points: Sequence[Mapping[str, Any]]) -> Chapter:
    """What fewer labels would have given."""
    from morula.report import Picture, Stage, line_chart

    counts = sorted({point["labels"] for point in points})
    scores = [
        float(np.mean([score for point in points if point["labels"] == count for score in point["scores"]]))
        for count in counts
    ]
    chart = line_chart({"held out": (counts, scores)}, across="labelled images", up="TP / (TP + FP + FN)")
    held = sorted({name for point in points for name in point["held"]})
    numbers = ", ".join(f"{score:.2f} with {count}" for count, score in zip(counts, scores, strict=True))
    text = (
        f"Networks trained for a short time on some of the labelled images, and scored on others: {numbers}; "
        "0 are pseudo labels. Where the line still rises at its end, more labels are likely to help. The "
        "segmentation itself learned from all labels and for longer, so expect more of it."
    )
    few = " So few say little: the line wavers." if len(held) < _ENOUGH else ""
    told = f"Mean at an IoU of .5 over {len(held)} held-out image(s): {', '.join(held[:_SHOWN])}.{few}"
    return Stage("Would more labels help?", text, (Picture(chart, told),))
