"""What a report says of trust, and of what to do next."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.types import Array
from morula.recipes import Entry
from morula.workflows.commands import again
from morula.workflows.findings import Finding
from morula.workflows.neurons import SCORED_ON_A_PART
from morula.workflows.tracing_report import LEARNED_FROM

__all__ = ["next_steps", "no_curve", "trust"]

_FEW_SCORED = (
    "The scores above are measured; whether confidence follows them takes three labelled images to tell."
)


def trust(findings: Sequence[Finding], entry: Entry, *, labelled: bool) -> tuple[str, ...]:
    """What confidence and scores say of how far to trust the result, one sentence each.

    Args:
        findings: all images.
        entry: of the recipe.
        labelled: whether labels were given.
    """
    every = np.concatenate([finding.objects.scores for finding in findings])
    if len(every) == 0:
        return ("No objects were found. Check the picture of each stage below to see where they are lost.",)
    weak = float(np.mean(every < 0.5))
    lines = [
        f"{weak:.0%} of the objects have a confidence below 0.5; leave these out or check them before you "
        "count. The confidence says how sure the network is of itself. It is not a measured accuracy.",
    ]
    scored = [finding for finding in findings if finding.truth is not None]
    if scored and entry.traces:
        lines.append(LEARNED_FROM)
    elif len(scored) > 2:
        correlation = np.corrcoef([each.confidence for each in scored], [each.rank for each in scored])[0, 1]
        if np.isfinite(correlation):
            lines.append(
                f"Over the {len(scored)} labelled images the mean confidence follows the score with a "
                f"correlation of {correlation:.2f} (1: it can be trusted to rank images; 0: it cannot)."
            )
    elif scored:
        lines.append(SCORED_ON_A_PART if entry.learns else _FEW_SCORED)
    elif entry.learns and labelled:
        lines.append(
            "Nothing was measured, for the labels trained the network. Label three to five other images, "
            "keep them out of --labels, and compare with `morula evaluate` to know the accuracy."
        )
    else:
        what = "a block of the volume" if entry.block else "three to five images"
        lines.append(f"Nothing was measured, for there are no labels. Label {what} to know the accuracy.")
    return tuple(lines)


def next_steps(
    run: Path, findings: Sequence[Finding], block: Sequence[Sequence[int]] | None = None
) -> tuple[str, ...]:
    """Which images to label next, by the recipe's own ranking where it makes one, or where in a volume.

    Args:
        run: the run's folder.
        findings: all images; of a block the one volume.
        block: the labelled box of that volume, first voxel and the one after the last along z, y, x; None
            where whole images are labelled.
    """
    if block is not None:
        return (_beyond(findings[0], block),)
    ranking = run / "report" / "label_next.csv"
    if ranking.exists():
        with ranking.open(newline="", encoding="utf-8") as stream:
            names = ", ".join([row["image"] for row in csv.DictReader(stream)][:3])
        if not names:
            return ("All images have labels, which trained. To know the accuracy, keep some of them aside.",)
        return (f"Label these first, for most can be learned from them: {names}. See report/label_next.csv.",)
    unlabelled = [finding for finding in findings if finding.truth is None]
    if not unlabelled:
        return ("All images have labels; look at the worst one above first.",)
    weakest = sorted(unlabelled, key=lambda finding: finding.confidence)[:3]
    names = ", ".join(f"{finding.id} ({finding.confidence:.2f})" for finding in weakest)
    return (f"Label these first, for they have the lowest mean confidence: {names}.",)


def _beyond(volume: Finding, block: Sequence[Sequence[int]]) -> str:
    """What was labelled of a volume, and where else labels would tell most."""
    box = ", ".join(f"{axis} {a} to {b - 1}" for axis, (a, b) in zip("zyx", block, strict=True))
    weakest = _least_sure(volume, block)
    if not len(weakest):
        return (
            f"The labels lie in the box {box}, and no neuron has its middle outside of it. To know the "
            "accuracy elsewhere, label a block of another volume, and compare with `morula evaluate`."
        )
    places = "; ".join(
        f"neuron {row[0]:.0f} ({row[1]:.2f}), z y x {row[3]:.0f} {row[4]:.0f} {row[5]:.0f}" for row in weakest
    )
    return (
        f"The labels lie in the box {box}. Of the larger neurons outside of it the network is least sure of "
        f"these: {places}. Label a block around one of them as well, and give all blocks as --labels, in one "
        "file as large as the volume."
    )


def _least_sure(volume: Finding, block: Sequence[Sequence[int]]) -> Array:
    """Id, score, area and middle `(n, 6)` of at most three neurons, the least sure of those outside of a box.

    Only those count that are larger than the mean: the many specks at borders are unsure, and tell nothing.
    """
    wanted = ("id", "score", "area", "centroid_z", "centroid_y", "centroid_x")
    if not len(volume.objects):
        return np.empty((0, len(wanted)))
    with (volume.folder / "objects.csv").open(encoding="utf-8") as stream:
        names = stream.readline().strip().split(",")
        rows = np.loadtxt(stream, delimiter=",", usecols=[names.index(each) for each in wanted], ndmin=2)
    low, high = np.transpose(block)
    middle = np.round(rows[:, 3:])
    rows = rows[((middle < low) | (middle >= high)).any(axis=1)]
    large = rows[rows[:, 2] >= rows[:, 2].mean()] if len(rows) else rows
    return large[np.argsort(large[:, 1], kind="stable")[:3]]


def no_curve(run: Path, plan: Mapping[str, Any], header: Mapping[str, Any]) -> tuple[str, ...]:
    """What draws a curve over the labels of a block, where there are some and the run has drawn none.

    Args:
        run: the run's folder.
        plan: what `plan.json` holds.
        header: what `run.json` holds.
    """
    if not any(run.glob("*-tune")) or any(run.glob("*-labels-*")):
        return ()
    budgets = "finetune.budgets=[0.1,0.25,0.5]"
    command = again(plan, header, run, "--set", budgets, out=f"{run}-budgets")
    return (
        "Whether more labels would pay is told by a curve, each point of which takes as long again as "
        f"fine-tuning: {command}",
    )
