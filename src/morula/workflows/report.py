"""The report of a run, told from what the run left on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.rng import Rng
from morula.core.types import Array, ArraySource, Record, Volume
from morula.data import open_volume, predicted_labels, read_labels
from morula.metrics import LOWER_IS_BETTER, bootstrap_mean
from morula.recipes import RECIPES, Entry, load_recipe
from morula.report import (
    Control,
    Controls,
    Fact,
    Overlay,
    Picture,
    ReportContent,
    Score,
    Table,
    overlay,
    to_rgb8,
    write_report,
)
from morula.report import Plan as PlanText
from morula.workflows.advice import next_steps, no_curve, trust
from morula.workflows.commands import commands
from morula.workflows.findings import Finding, read_findings
from morula.workflows.image_tables import histograms, image_rows
from morula.workflows.neurons import LABEL_A_BLOCK, lacks_block
from morula.workflows.tracing_report import MEASURES as TRACE_MEASURES
from morula.workflows.tracing_report import branch_tables, has_trace, neuron_table, trace_overlays

__all__ = ["LEFT_OUT", "report", "report_prediction"]

LEFT_OUT = "left-out.json"
"""Which images the controls of a run were not run on, for want of memory."""

_MEASURES: Mapping[str, str] = {
    "aji": "aggregated Jaccard index: overlap over all objects, with a price for missed and invented ones",
    "pq": "panoptic quality: how many objects are found, times how well they fit",
    "ap50": "found objects over found, missed and invented ones, at half overlap",
    "dsb": "the same, averaged over stricter and stricter overlaps (0.5 to 0.95)",
    "object_dice": "overlap of each object with its partner, weighted by area",
    "iou": "overlap of all foreground pixels, whatever object they belong to",
    "iou_per_slice": "the same per section, averaged; one that is empty in both counts 0, as published",
    "dice": "the same as IoU on another scale, 2 IoU / (1 + IoU); of traces, of mask and drawn true trace",
    "voi": "variation of information in bits, 0 is perfect; of the validation part, as the next four",
    "voi_split": "what of it comes from neurons that are cut",
    "voi_merge": "what of it comes from neurons that are joined",
    "voi_border": "the same without voxels within 2 pixels of a true border, 0 is perfect; as the next three",
    "voi_split_border": "what of that comes from neurons that are cut",
    "voi_merge_border": "what of that comes from neurons that are joined",
    "are_border": "adapted Rand error without these voxels, 0 is perfect",
    **TRACE_MEASURES,
    "are": "adapted Rand error, 0 is perfect: pairs of voxels that are joined in one and apart in the other",
    "are_skimage": "the same as scikit-image counts it: no voxel pairs with itself, and 0 is one neuron",
}
_SHOWN = ("aji", "ap50", "pq", "iou", "f1_4", "f1_2", "voi", "are", "voi_border", "are_border")
_SECTIONS = 3  # of a volume that are shown


def report(run: str | Path) -> Path:
    """Writes `report/index.html` of a run and returns its path.

    Args:
        run: a folder that `morula run` made.

    Raises:
        DataError: the folder is no finished run.
        ResourceError: the disk is full.
    """
    run = Path(run)
    findings = read_findings(run)
    page = run / "report" / "index.html"
    write_report(page, _content(run, findings))
    return page


def _content(run: Path, findings: Sequence[Finding]) -> ReportContent:
    from morula.engine import read_json

    plan, header = read_json(run / "plan.json"), read_json(run / "run.json")
    entry = RECIPES[plan["recipe"]]
    classes = tuple(sorted({name for finding in findings for name in finding.objects.classes}))
    unit = _unit([finding.nm for finding in findings], plan["facts"]["dimensions"])
    shown = _shown(findings)
    gone = [finding.id for finding in findings if finding.image is None]
    moved = (
        (f"{len(gone)} image(s) are no longer where they were; their pictures are missing.",) if gone else ()
    )
    return ReportContent(
        title=f"{entry.objects} in {Path(plan['images']).name}",
        subtitle=f"Recipe {plan['recipe']}, preset {plan['preset']}, seed {header['seed']}",
        summary=_facts(findings, classes, entry),
        what_and_why=PlanText(reasons=tuple(plan["reasons"])),
        warnings=(*plan["warnings"], *moved),
        overlays=tuple(each for role, finding in shown for each in _overlays(finding, role, classes)),
        class_names=classes,
        scores=_scores(findings),
        image_scores=_score_table(findings),
        controls=_controls(run, findings, shown),
        trust=trust(findings, entry, labelled=plan["labels"] is not None),
        next_steps=(
            (LABEL_A_BLOCK,)
            if lacks_block(plan)
            else (*next_steps(run, findings, plan["facts"].get("block")), *no_curve(run, plan, header))
        ),
        stages=tuple(load_recipe(plan["recipe"]).story(run)),
        distributions=histograms(findings, classes, unit),
        neurons=neuron_table([each.folder for each in findings if has_trace(each.folder)]),
        branches=branch_tables([each.folder for each in findings], run / "report"),
        images=tuple(image_rows(findings)),
        area_unit=unit,
        provenance=_provenance(read_json(run / "provenance.json"), header),
        reproduce=commands(plan, header, run),
    )


def report_prediction(
    run: Path, out: Path, records: Sequence[Record], warnings: Sequence[str], command: str
) -> Path:
    """Writes `report.html` of what a trained run predicted, and returns its path.

    Args:
        run: the run's folder.
        out: holds the prediction of each record in a folder.
        records: the images.
        warnings: what the user has to know before using the result.
        command: what repeats the prediction.

    Raises:
        ResourceError: the disk is full.
    """
    from morula.engine import read_json

    header = read_json(run / "run.json")
    findings = [Finding(each.id, each.image, _nm(each.image), out / each.id, None) for each in records]
    page = out / "report.html"
    write_report(page, _predicted_content(run, header, findings, warnings, command))
    return page


def _predicted_content(
    run: Path, header: Mapping[str, Any], findings: Sequence[Finding], warnings: Sequence[str], command: str
) -> ReportContent:
    entry = RECIPES[header["recipe"]]
    classes = tuple(sorted({name for finding in findings for name in finding.objects.classes}))
    unit = _unit([finding.nm for finding in findings], 3 if entry.volumes else 2)
    shown = f"{len(findings)} images" if len(findings) > 1 else findings[0].id
    return ReportContent(
        title=f"{entry.objects} in {shown}",
        subtitle=f"Recipe {header['recipe']}, trained run {run.resolve().name}",
        summary=_facts(findings, classes, entry),
        what_and_why=PlanText(reasons=("A trained run was applied; nothing was learned from these images.",)),
        warnings=tuple(warnings),
        overlays=tuple(each for role, one in _shown(findings) for each in _overlays(one, role, classes)),
        class_names=classes,
        trust=trust(findings, entry, labelled=False),
        next_steps=(LABEL_A_BLOCK,) if entry.block else next_steps(findings[0].folder.parent, findings),
        distributions=histograms(findings, classes, unit),
        neurons=neuron_table([each.folder for each in findings if has_trace(each.folder)]),
        branches=branch_tables([each.folder for each in findings], findings[0].folder.parent),
        images=tuple(image_rows(findings)),
        area_unit=unit,
        provenance={
            "run": str(run.resolve()),
            "trained": header.get("created", ""),
            "morula": version("morula"),
        },
        reproduce=(command,),
    )


def _nm(image: Volume) -> tuple[float | None, float, float] | None:
    size = image.voxel
    return None if size is None else (size.z, size.y, size.x)


def _unit(sizes: Sequence[Sequence[float | None] | None], dimensions: int) -> str:
    """Of the areas in the tables, by the sizes of the pixels, z, y, x in nm, that the images have."""
    stack = dimensions == 3
    units = {
        ("µm³" if size and size[0] else "voxels") if stack else ("µm²" if size else "px") for size in sizes
    }
    return " or ".join(sorted(units))


def _facts(findings: Sequence[Finding], classes: Sequence[str], entry: Entry) -> tuple[Fact, ...]:
    every = [name for finding in findings for name in finding.objects.classes]
    per_class = ", ".join(f"{every.count(name)} {name}" for name in classes) if len(classes) > 1 else ""
    confidence = np.concatenate([finding.objects.scores for finding in findings]) if every else np.zeros(1)
    facts = [
        Fact("images", str(len(findings))),
        Fact("objects", f"{len(every):,}", per_class),
        Fact("mean confidence", f"{confidence.mean():.2f}", "of 1, told without labels"),
    ]
    scored = [finding for finding in findings if finding.truth is not None]
    if scored:
        mean = np.mean([finding.rank for finding in scored])
        where = "on the validation part" if entry.block else f"against labels of {len(scored)} images"
        facts.append(Fact(scored[0].measure.upper(), f"{mean:.3f}", where))
    return tuple(facts)


def _shown(findings: Sequence[Finding]) -> list[tuple[Any, Finding]]:
    scored = all(finding.truth is not None for finding in findings)  # else like is compared with like
    there = [finding for finding in findings if finding.image is not None]
    there.sort(key=lambda each: each.rank if scored else each.confidence)
    if len(there) < 3:
        return [("example", finding) for finding in there]
    return [("best", there[-1]), ("median", there[len(there) // 2]), ("worst", there[0])]


def _overlays(finding: Finding, role: Any, classes: tuple[str, ...]) -> Iterator[Overlay]:
    """The image, some sections of the volume, evenly spaced, or projections of a traced neuron."""
    measure = finding.measure.upper() if finding.truth is not None else "mean confidence"
    if finding.image is not None and has_trace(finding.folder):
        scores = finding.folder.parents[1] / "scores"
        truth = None if finding.truth is None else scores / f"{finding.id}.swc"
        yield from trace_overlays(
            finding.id, finding.image, finding.folder, truth, role, finding.rank, measure
        )
        return
    labels = _found(predicted_labels(finding.folder))
    count = labels.shape[0] if len(labels.shape) == 3 else 0
    places = [count * (2 * n + 1) // (2 * _SECTIONS) for n in range(_SECTIONS)] if count else [None]
    for section in dict.fromkeys(places):
        pixels, drawn = _drawn(finding, labels, classes, section)
        where = "" if section is None else f"section {section}; in the whole volume "
        yield Overlay(
            finding.id if section is None else f"{finding.id}, section {section}",
            drawn,
            caption=f"{where}{len(finding.objects)} objects",
            role=role,
            score=finding.rank,
            measure=measure,
            original=pixels,
            width_um=_width_um(finding.image),
        )


def _found(file: Path) -> ArraySource:
    """The labels of an image, or of a volume, whose sections are read when they are shown."""
    found = open_volume(file)
    return found if found.axes.order == "zyx" else read_labels(file)


def _drawn(
    finding: Finding, labels: ArraySource, classes: tuple[str, ...], section: int | None = None
) -> tuple[Array, Array]:
    assert finding.image is not None
    if len(labels.shape) == 3:
        section = labels.shape[0] // 2 if section is None else section
        pixels = to_rgb8(finding.image[section][..., None])
    else:
        pixels = to_rgb8(finding.image.read_yxc())
    labels = np.asarray(labels[... if section is None else section]).astype(np.int32)
    named = finding.objects.classes if len(classes) > 1 else None
    same = named is not None and len(named) == int(labels.max(initial=0))
    return pixels, overlay(pixels, labels, named if same else None, class_names=classes if same else None)


def _width_um(image: Volume | None) -> float | None:
    if image is None or image.voxel is None:
        return None
    return image.voxel.x * image.spatial_shape[-1] / 1000


def _scores(findings: Sequence[Finding]) -> tuple[Score, ...]:
    rows = [finding.truth for finding in findings if finding.truth is not None]
    if not rows:
        return ()
    scores: list[Score] = []
    for index, (key, meaning) in enumerate(_MEASURES.items()):
        if key not in rows[0]:
            continue
        found = bootstrap_mean(np.array([row[key] for row in rows]), Rng(0, "report").at(index))
        low, high = (found.low, found.high) if len(rows) > 1 else (None, None)
        scores.append(Score(key, found.mean, low, high, meaning, key not in LOWER_IS_BETTER))
    return tuple(scores)


def _score_table(findings: Sequence[Finding]) -> Table | None:
    scored = [finding for finding in findings if finding.truth is not None]
    if not scored:
        return None
    measures = [key for key in _MEASURES if scored[0].truth and key in scored[0].truth]
    rows = [(each.id, *(round(each.truth[key], 3) for key in measures)) for each in scored if each.truth]
    return Table(("image", *measures), tuple(rows))


def _controls(run: Path, findings: Sequence[Finding], shown: Sequence[tuple[Any, Finding]]) -> Controls:
    from morula.engine import read_json

    folders = sorted(path for path in (run / "controls").glob("*") if (path / "scores.json").exists())
    pictured = {path.stem for folder in folders for path in folder.glob("*.tif")}
    middle = [each for role, each in shown if role == "median"]
    found = (each for each in (*middle, *findings) if each.image is not None and each.id in pictured)
    example = next(found, None)
    large = _left_out(run / "controls" / LEFT_OUT)
    if example is None:
        return Controls(note=large)
    kept = _of_the_recipe(run)
    scored = [each.id for each in findings if each.truth is not None]
    tables = {
        folder.name: dict.fromkeys(scored, kept[folder.name])
        if folder.name in kept
        else read_json(folder / "scores.json")
        for folder in folders
    }
    compared = set.intersection(*(set(table) for table in tables.values()))
    ours = {each.id: each.truth for each in findings if each.truth is not None and each.id in compared}
    methods = [_method("Morula", ours, example, predicted_labels(example.folder), is_result=True)]
    for folder in folders:
        methods.append(_method(folder.name, tables[folder.name], example, folder / f"{example.id}.tif"))
    note = f"Simpler methods on the same images; the pictures show {example.id}. {large}".strip()
    note += " Scores are of the validation part." if kept else ""
    return Controls(tuple(methods), _measures(ours), LOWER_IS_BETTER, note=note)


def _of_the_recipe(run: Path) -> dict[str, Mapping[str, float]]:
    """Scores of controls that a recipe took where it scored its result; earlier versions took none."""
    from morula.engine import read_json

    told = [read_json(path) for path in run.glob("*-tune/done.json")]
    return {name: row for each in told for name, row in each.get("controls", {}).items()}


def _left_out(file: Path) -> str:
    from morula.engine import read_json

    names: Any = read_json(file) if file.exists() else []
    told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"No simpler method was run on {told}: too large for one that works in memory." if names else ""


def _measures(scores: Mapping[str, Mapping[str, float] | None]) -> tuple[str, ...]:
    """What was measured of what is shown beside the controls."""
    row = next((row for row in scores.values() if row is not None), {})
    return tuple(key for key in _SHOWN if key in row)


def _method(
    name: str,
    scores: Mapping[str, Mapping[str, float] | None],
    example: Finding,
    labels: Path,
    *,
    is_result: bool = False,
) -> Control:
    rows = [row for row in scores.values() if row is not None]
    values = tuple(float(np.mean([row[key] for row in rows])) for key in _measures(scores))
    picture = None
    if labels.exists():
        found = read_labels(labels)
        drawn = _drawn(example, found, ())[1]
        picture = Picture(drawn, f"{int(found.max(initial=0))} objects", name)
    return Control(name, values, is_result, picture=picture)


def _provenance(found: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, str]:
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    return {
        "made": header["created"],
        "seed": str(header["seed"]),
        "device": f"{found['device']}, {found['threads']} threads",
        "packages": packages,
        "python": found["python"],
        "commit": found["commit"] or "installed package",
    }
