"""The stages of a neuron recipe as pictures: curves, affinities, the threshold, the largest neurons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morula.core.affinities import Affinities
from morula.core.types import Array
from morula.engine import Stage, read_json, read_metrics
from morula.tasks.neurons.decode import lowest
from morula.tasks.neurons.render import render

if TYPE_CHECKING:
    from morula.report import Picture
    from morula.report import Stage as Chapter

__all__ = ["chapters", "keep_section"]

_BUDGETS, _ROUNDS = "*-labels-*", "*-self-training-*"
_RENDERED = 12  # neurons


def chapters(path: Path) -> list[Chapter]:
    """One chapter a stage, then the threshold, then the neurons.

    Args:
        path: folder of a finished run.
    """
    from morula.data import predicted_labels
    from morula.report import Stage as Chapter

    told = [
        Chapter(f"Stage {stage.name}", "The losses over the training.", (_curve(stage),))
        for stage in sorted(path.glob("[0-9]*-*"), key=_number)
        if (stage / "metrics.jsonl").exists() and not stage.match(_BUDGETS)
    ]
    rounds = sorted(path.glob(_ROUNDS), key=_number)
    if rounds:
        told.append(Chapter("Self-training", _ABOUT_ROUNDS, _taught(rounds)))
    told += [_untuned(stage) for stage in path.glob("*-untuned")]
    told += [each for stage in path.glob("*-tune") for each in _tuned(stage, path)]
    found = (predicted_labels(folder) for folder in sorted(path.glob("predictions/*")))
    return [*told, *(_neurons(labels) for labels in found if labels.exists())]


def keep_section(stage: Stage, image: Array, affinities: Affinities, labels: Array) -> None:
    """Keeps what `chapters` shows of a part of the volume: its middle section, and what is found in it.

    Args:
        stage: where to.
        image: grey values of the part, `(z, y, x)`.
        affinities: of the same voxels.
        labels: what is found in it, `(z, y, x)`.
    """
    section = len(image) // 2
    stage.save_array("image", image[section])
    stage.save_array("affinities", affinities.nearest().values[:, section])
    stage.save_array("found", labels[section])


def _number(stage: Path) -> int:
    """Which stage of the run it is; by name 10 would come before 2."""
    return int(stage.name.split("-")[0])


def _untuned(stage: Path) -> Chapter:
    from morula.report import Stage as Chapter

    threshold = read_json(stage / "done.json")["threshold"]
    text = (
        "The middle section of the volume, as the network sees it: bright where a voxel and its neighbour "
        "belong to the same neuron, dark at borders. No label was given, so fragments are joined at a fixed "
        f"threshold, {threshold:.2f}, and how good the neurons are is not known: look at them, label a block "
        "of a few million voxels, and run again with --labels."
    )
    return Chapter("Affinities", text, _affinities(stage))


def _tuned(tune: Path, path: Path) -> list[Chapter]:
    from morula.report import Stage as Chapter

    summary = read_json(tune / "done.json")
    told = [
        Chapter("Affinities", _ABOUT_AFFINITIES, _affinities(tune)),
        Chapter("Threshold", _about_threshold(summary), _threshold(summary)),
    ]
    budgets = [read_json(stage / "done.json") for stage in path.glob(_BUDGETS)]
    if budgets:
        told.append(Chapter("Labels", _ABOUT_LABELS, (_labels(budgets, summary),)))
    return told


_ABOUT_AFFINITIES = (
    "A section of the validation part, as the network sees it: bright where a voxel and its neighbour belong "
    "to the same neuron, dark at borders. Nothing was learned from this part."
)


_ABOUT_ROUNDS = (
    "What taught the network in each round, in a section of the volume. No label has a part in it: the first "
    "round learns from a watershed of the grey values, every other from what the network before it found."
)


def _taught(rounds: Sequence[Path]) -> tuple[Picture, ...]:
    from morula.report import Picture, label_colours

    grey = Picture(_grey(np.load(rounds[0] / "image.npy", allow_pickle=False)), "", "image")
    taught = [label_colours(np.load(folder / "taught.npy", allow_pickle=False)) for folder in rounds]
    titles = ["round 1: watershed", *(f"round {number}: network" for number in range(2, len(rounds) + 1))]
    return (grey, *(Picture(each, "", title) for each, title in zip(taught, titles, strict=True)))


def _curve(stage: Path) -> Picture:
    from morula.report import Picture, learning_curves

    return Picture(learning_curves(read_metrics(stage / "metrics.jsonl")), "Lower is better.")


def _affinities(stage: Path) -> tuple[Picture, ...]:
    from morula.report import Picture, label_colours

    maps = np.load(stage / "affinities.npy", allow_pickle=False)
    grey = np.load(stage / "image.npy", allow_pickle=False)
    shown = [("image", grey), *zip(("affinity z", "affinity y", "affinity x"), maps, strict=True)]
    pictures = [Picture(_grey(plane), "", name) for name, plane in shown]
    found = np.load(stage / "found.npy", allow_pickle=False)
    pictures.append(
        Picture(label_colours(found), "What is made of them; colours tell neighbours apart.", "neurons")
    )
    if (stage / "truth.npy").exists():
        truth = np.load(stage / "truth.npy", allow_pickle=False)
        pictures.append(Picture(label_colours(truth), "The labels, as they were given.", "labels"))
    return tuple(pictures)


def _grey(plane: Array) -> Array:
    """Values in [0, 1] as `(y, x, 3)` uint8, 0 black and 1 white."""
    return np.repeat((np.clip(plane, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _about_threshold(summary: dict[str, Any]) -> str:
    best = lowest(summary["curve"])
    return (
        "Fragments are joined while one minus the affinity between them is below "
        f"{summary['threshold']:.2f}. There the variation of information is {best['voi']:.2f} bits "
        f"({best['voi_split']:.2f} split, {best['voi_merge']:.2f} merge) and the adapted Rand error "
        f"{best['are']:.3f}. The threshold was chosen on these voxels, so expect a little more elsewhere."
        + _about_candidates(summary)
    )


def _about_candidates(summary: dict[str, Any]) -> str:
    """Which network was kept, where there was one to fall back on."""
    scores = {name: row["voi"] for name, row in summary["candidates"].items()}
    if "start" not in scores:
        return ""
    kept = "fine-tuned network" if summary["taken"] == "fine-tuned" else "network before fine-tuning"
    return (
        f" Without fine-tuning the network has {scores['start']:.2f} bits here, with it "
        f"{scores['fine-tuned']:.2f}: the {kept} was kept."
    )


def _threshold(summary: dict[str, Any]) -> tuple[Picture, ...]:
    from morula.report import Picture, line_chart

    rows: Sequence[dict[str, float]] = summary["curve"]
    steps = [row["threshold"] for row in rows]
    taken = {"taken": float(summary["threshold"])}
    names = {"split": "voi_split", "merge": "voi_merge", "both": "voi"}
    lines = {name: (steps, [row[key] for row in rows]) for name, key in names.items()}
    error = {"adapted Rand error": (steps, [row["are"] for row in rows])}
    return (
        Picture(line_chart(lines, across="threshold", up="bits", mark=taken), "Variation of information."),
        Picture(line_chart(error, across="threshold", up="error", mark=taken), "Adapted Rand error."),
    )


_ABOUT_LABELS = (
    "What a part of the labels would have given: the middle of the training part, the same start, as many "
    "steps, and the same validation part, whose best threshold is taken for each. At 100 is the fine-tuned "
    "network, kept or not, and at 0 the network before fine-tuning, where it finds neurons. Where the line "
    "still falls at its end, more labels are likely to help; differences below 0.1 bits are noise."
)


def _labels(budgets: Sequence[dict[str, Any]], summary: dict[str, Any]) -> Picture:
    from morula.report import Picture, line_chart

    ends = {"start": 0.0, "fine-tuned": 100.0}  # the curve in the summary is of the one that was taken
    points = [(100 * each["share"], each["best"]) for each in budgets]
    points += [(ends[name], best) for name, best in summary["candidates"].items()]
    points.sort(key=lambda point: point[0])
    names = {"split": "voi_split", "merge": "voi_merge", "both": "voi"}
    lines = {name: ([at for at, _ in points], [row[key] for _, row in points]) for name, key in names.items()}
    chart = line_chart(lines, across="labels used, percent", up="bits")
    return Picture(chart, "Variation of information on the validation part.")


def _neurons(labels: Path) -> Chapter:
    from morula.data import open_volume
    from morula.report import Picture
    from morula.report import Stage as Chapter

    picture = Picture(render(open_volume(labels), count=_RENDERED), labels.parent.name)
    text = f"The {_RENDERED} largest segments, seen along z; a bright surface faces the viewer."
    return Chapter("Largest neurons", text, (picture,))
