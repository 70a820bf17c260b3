"""The verbs. Each parses, calls one workflow, and prints."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from morula.cli import options as o

__all__ = ["app", "show"]

app = typer.Typer(
    help="Segment microscopy with few labels or none.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sets = typer.Typer(help="Public data sets: list them, download them, verify them.", no_args_is_help=True)
app.add_typer(sets, name="data")


class Kind(StrEnum):
    """What is compared."""

    instances = "instances"
    semantic = "semantic"
    points = "points"
    volumes = "volumes"
    neurons = "neurons"
    swc = "swc"
    coco = "coco"


@app.callback(invoke_without_command=True)
def root(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Segment microscopy with few labels or none."""
    if show_version:
        typer.echo(version("morula"))
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; runs/demo without it.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Train for a few steps only.")] = False,
    device: o.Device = o.DeviceName.auto,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Segment the brown and blue nuclei of a real tissue section that ships with scikit-image."""
    from morula.workflows.demo import demo as work

    result = work(out=out, fast=fast, device=device, seed=seed, console=o.console(quiet))
    show(result.as_json(), as_json, f"open {result.report}")


@app.command()
def run(
    images: o.Images,
    labels: o.Labels = None,
    source: o.Source = None,
    source_labels: o.SourceLabels = None,
    out: o.Out = None,
    recipe: o.RecipeName = None,
    preset: o.Preset = None,
    config: o.Config = None,
    assignments: o.Set = None,
    pixel_size: o.PixelSize = None,
    voxel_size: o.VoxelSize = None,
    source_voxel_size: o.SourceVoxelSize = None,
    label_offset: o.LabelOffset = None,
    axes: o.Axes = None,
    weights: o.StartWeights = None,
    label_suffix: o.LabelSuffix = None,
    natural: o.Natural = None,
    skip_bad: o.SkipBad = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    device: o.Device = o.DeviceName.auto,
    devices: o.Devices = 1,
    nodes: o.Nodes = 1,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Plan, train, predict and report: a folder of images becomes labels, tables and a report."""
    from morula.workflows.run import run as work

    result = work(
        images,
        labels=labels,
        source=source,
        source_labels=source_labels,
        out=out,
        recipe=recipe,
        preset=preset,
        config=config,
        assignments=o.starting(assignments, weights, natural),
        voxel=o.voxel(pixel_size, voxel_size),
        source_voxel=o.voxel_size("--source-voxel-size", source_voxel_size),
        label_offset=o.label_offset(label_offset),
        axes=axes,
        label_suffix=label_suffix,
        skip_bad=skip_bad,
        existing=o.existing(resume, overwrite),
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
        console=o.console(quiet),
    )
    show(result.as_json(), as_json, f"open {result.report}", processes=devices * nodes)


@app.command()
def plan(
    images: o.Images,
    labels: o.Labels = None,
    source: o.Source = None,
    source_labels: o.SourceLabels = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the plan to this TOML file.")] = None,
    recipe: o.RecipeName = None,
    preset: o.Preset = None,
    pixel_size: o.PixelSize = None,
    voxel_size: o.VoxelSize = None,
    source_voxel_size: o.SourceVoxelSize = None,
    label_offset: o.LabelOffset = None,
    axes: o.Axes = None,
    label_suffix: o.LabelSuffix = None,
    skip_bad: o.SkipBad = False,
    as_json: o.Json = False,
) -> None:
    """Look at the images and say which recipe suits them, and why; nothing is trained."""
    from morula.workflows.plan import plan as work

    made = work(
        images,
        labels=labels,
        source=source,
        source_labels=source_labels,
        recipe=recipe,
        preset=preset,
        voxel=o.voxel(pixel_size, voxel_size),
        source_voxel=o.voxel_size("--source-voxel-size", source_voxel_size),
        label_offset=o.label_offset(label_offset),
        axes=axes,
        label_suffix=label_suffix,
        skip_bad=skip_bad,
    )
    if out is not None:
        made.save(out)
    show(made.as_json(), as_json, made.to_toml())


@app.command()
def train(
    words: o.RecipeImages,
    labels: o.Labels = None,
    source: o.Source = None,
    source_labels: o.SourceLabels = None,
    out: o.Out = None,
    recipe: o.RecipeName = None,
    preset: o.Preset = None,
    config: o.Config = None,
    assignments: o.Set = None,
    pixel_size: o.PixelSize = None,
    voxel_size: o.VoxelSize = None,
    source_voxel_size: o.SourceVoxelSize = None,
    label_offset: o.LabelOffset = None,
    axes: o.Axes = None,
    weights: o.StartWeights = None,
    label_suffix: o.LabelSuffix = None,
    natural: o.Natural = None,
    skip_bad: o.SkipBad = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    device: o.Device = o.DeviceName.auto,
    devices: o.Devices = 1,
    nodes: o.Nodes = 1,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train on a folder of images; `predict` then needs the run's folder alone."""
    from morula.workflows.train import train as work

    recipe, images = o.recipe_images(words, recipe)
    path = work(
        images,
        labels=labels,
        source=source,
        source_labels=source_labels,
        out=out,
        recipe=recipe,
        preset=preset,
        config=config,
        assignments=o.starting(assignments, weights, natural),
        voxel=o.voxel(pixel_size, voxel_size),
        source_voxel=o.voxel_size("--source-voxel-size", source_voxel_size),
        label_offset=o.label_offset(label_offset),
        axes=axes,
        label_suffix=label_suffix,
        skip_bad=skip_bad,
        existing=o.existing(resume, overwrite),
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
        console=o.console(quiet),
    )
    told = f"morula predict {path} NEW_IMAGES --out DIR"
    show({"run": str(path)}, as_json, told, processes=devices * nodes)


@app.command()
def evaluate(
    prediction: Annotated[Path, typer.Argument(help="A file, or a folder paired with TRUTH by stem.")],
    truth: Annotated[
        Path,
        typer.Argument(
            help="A file or a folder. SWC files are in voxels, or in micrometres where PREDICTION is what "
            "`run` or `predict` left, with the labels; else both are in one unit. DIADEM has the tolerances "
            "of the olfactory fibres: equal to the program's -D 5 at 3.034 pixel widths a section."
        ),
    ],
    kind: Annotated[Kind, typer.Option(help="What is compared.")],
    radius: Annotated[float, typer.Option(help="Points within this many pixels match, above 0.")] = 12.0,
    voxel_size: o.VoxelSize = None,
    label_suffix: o.LabelSuffix = None,
    border: Annotated[
        float | None,
        typer.Option(metavar="PX", help="Of neurons: leave out what is this near to a true border."),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Score predictions against ground truth."""
    from morula.workflows.evaluate import evaluate as work

    scores = work(
        prediction,
        truth,
        kind=kind.value,
        radius=radius,
        voxel=o.known_size("--voxel-size", voxel_size),
        label_suffix=label_suffix or "",
        border=border,
    )
    show(scores, True, "") if as_json else typer.echo(json.dumps(scores, indent=2))


@app.command()
def select(
    candidates: Annotated[
        Path, typer.Argument(help="A folder with a label volume, a folder or a run for each candidate.")
    ],
    prior: Annotated[Path, typer.Option(help="Labels of the source: a file or a folder.")],
    images: Annotated[
        Path | None, typer.Option(help="What was segmented; with it the ranking is much better.")
    ] = None,
    voxel_size: o.VoxelSize = None,
    source_voxel_size: o.SourceVoxelSize = None,
    as_json: o.Json = False,
) -> None:
    """Rank segmentations without ground truth, by the source's labels, the images and their consensus."""
    from morula.workflows.select import select as work

    found = work(
        candidates,
        prior=prior,
        images=images,
        voxel=o.voxel_size("--voxel-size", voxel_size),
        prior_voxel=o.voxel_size("--source-voxel-size", source_voxel_size),
    )
    lines = [
        f"{entry['score']:8.2f}  {entry['name']}  {'; '.join(entry['objections'])}".rstrip()
        for entry in found["ranking"]
    ]
    show(found, as_json, "\n".join([*lines, found["why"]]))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `morula run` made.")],
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write the report of a run anew."""
    from morula.workflows.report import report as work

    path = work(run)
    if as_json or not quiet:
        show({"report": str(path)}, as_json, f"open {path}")


@app.command()
def doctor(as_json: o.Json = False) -> None:
    """Check this machine: packages, device, memory, disk, cache."""
    from morula.workflows.doctor import doctor as work

    checks = work()
    lines = [f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<10} {check.found}" for check in checks]
    show({check.name: {"ok": check.ok, "found": check.found} for check in checks}, as_json, "\n".join(lines))
    if not all(check.ok for check in checks):
        raise typer.Exit(4)


@sets.command("list")
def list_sets(as_json: o.Json = False) -> None:
    """Name the public sets."""
    from morula.workflows.datasets import describe

    table = describe()
    show(
        table,
        as_json,
        "\n".join(f"{name:<10} {entry['title']} ({entry['licence']})" for name, entry in table.items()),
    )


@sets.command("info")
def info_set(name: Annotated[str, typer.Argument(help="Name of the set.")], as_json: o.Json = False) -> None:
    """Show licence, citation and sources of a set."""
    from morula.workflows.datasets import describe

    entry = describe(name)[name]
    archives = [f"{file['filename']}  {file['url']}  sha256 {file['sha256']}" for file in entry["files"]]
    told = [f"{key}: {value}" for key, value in entry.items() if key != "files"]
    show(entry, as_json, "\n".join([*told, *archives]))


@sets.command("get")
def get_set(
    name: Annotated[str, typer.Argument(help="Name of the set.")],
    offline: Annotated[bool, typer.Option("--offline", help="Use the cache alone.")] = False,
    as_json: o.Json = False,
) -> None:
    """Download a set into the cache, verify it, and unpack it."""
    from morula.workflows.datasets import get

    path = get(name, offline=offline)
    show({"name": name, "path": str(path)}, as_json, str(path))


@sets.command("check")
def check_set(name: Annotated[str, typer.Argument(help="Name of the set.")], as_json: o.Json = False) -> None:
    """Verify the cached archives of a set by their checksums, and its labels by their published shape."""
    from morula.workflows.datasets import check

    found = check(name)
    show(found, as_json, "\n".join(f"{file}: {state}" for file, state in found.items()))


def show(value: dict[str, Any], as_json: bool, text: str, *, processes: int = 1) -> None:
    """Prints a result, for a program or for a reader; of processes that train together the first prints."""
    if processes > 1 and o.rank():
        return
    typer.echo(json.dumps(value) if as_json else text)
    sys.stdout.flush()
