"""The verbs for neurons alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from morula.cli import options as o
from morula.cli.verbs import app, show

__all__ = ["agglomerate", "pretrain", "trace", "view3d"]


class Method(StrEnum):
    """How neurons are made of affinities."""

    agglomeration = "agglomeration"
    multicut = "multicut"
    mutex = "mutex"


class Joining(StrEnum):
    """What of a contact counts."""

    mean = "mean"
    median = "median"
    maxima = "median-of-maxima"


class Meaning(StrEnum):
    """What 1 means."""

    attractive = "attractive"
    repulsive = "repulsive"


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="A recipe for neurons.")],
    volumes: Annotated[Path, typer.Argument(help="A volume, or a folder of volumes; no labels.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    preset: o.Preset = None,
    config: o.Config = None,
    assignments: o.Set = None,
    voxel_size: o.VoxelSize = None,
    axes: o.Axes = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    device: o.Device = o.DeviceName.auto,
    devices: o.Devices = 1,
    nodes: o.Nodes = 1,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Pre-train or self-train on volumes without labels; `train --weights` then starts from the run.

    The preset says which, and it is told first. Recipe mscon trains itself, and with --preset info-nce it
    pre-trains on two views in place of that.
    """
    from morula.workflows.pretrain import pretrain as work

    path = work(
        recipe,
        volumes,
        out=out,
        preset=preset,
        config=config,
        assignments=assignments or (),
        voxel=o.voxel_size("--voxel-size", voxel_size),
        axes=axes,
        existing=o.existing(resume, overwrite),
        device=device,
        devices=devices,
        nodes=nodes,
        seed=seed,
        console=o.console(quiet),
    )
    hint = f"morula train {recipe} VOLUME --labels BLOCK --voxel-size Z Y X --weights {path}"
    show({"run": str(path)}, as_json, hint, processes=devices * nodes)


@app.command()
def agglomerate(
    affinities: Annotated[
        Path, typer.Argument(help="HDF5, axes c, z, y, x; or one data set, `file.h5:/key`.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="TIFF for the labels, .tif or .tiff.")],
    method: Annotated[
        Method, typer.Option(help="Join contacts in turn, cut all at once, or join voxels.")
    ] = Method.agglomeration,
    threshold: Annotated[
        float | None,
        typer.Option(help="Join below this: one minus the affinity; by default as stored, or 0.5."),
    ] = None,
    linkage: Annotated[
        Joining | None, typer.Option(help="What of a contact counts; by default as stored, or the mean.")
    ] = None,
    sections: Annotated[
        bool | None,
        typer.Option("--sections/--no-sections", help="Flood each section by itself; by default as stored."),
    ] = None,
    offsets: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|LIST",
            help="Of the channels, if the file is silent: nearest, long-range, mutex, or 'Z Y X; ...'.",
        ),
    ] = None,
    polarity: Annotated[
        Meaning | None, typer.Option(help="What 1 means, if the file is silent or in doubt.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier labels.")] = False,
    as_json: o.Json = False,
) -> None:
    """Make neurons of affinities: watershed, then the strongest contacts are joined; or another method."""
    from morula.workflows.agglomerate import agglomerate as work
    from morula.workflows.agglomerate import offsets_of

    found = work(
        affinities,
        out=out,
        method=method.value,
        threshold=threshold,
        linkage=None if linkage is None else linkage.value,
        sections=sections,
        offsets=None if offsets is None else offsets_of(offsets),
        polarity=None if polarity is None else polarity.value,
        overwrite=overwrite,
    )
    show(found.as_json(), as_json, str(found))


@app.command()
def trace(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MASK_OR_PROBABILITY",
            help="A stack: a mask, floats in [0, 1], or labels, each of which becomes a tree of its own.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the SWC files; of several labels a folder each in it."),
    ],
    root: o.Root = None,
    voxel_size: o.VoxelSize = None,
    label: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="Trace this label alone, whatever else is there.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            min=0.01, max=1, help="Probability from which a voxel is foreground; half of it beside some."
        ),
    ] = 0.5,
    gap: Annotated[
        float,
        typer.Option(metavar="PX", min=0, help="Widest gap that is bridged, in pixel widths along z, too."),
    ] = 12.0,
    speck: Annotated[
        int,
        typer.Option(metavar="VOXELS", min=0, help="Smaller pieces are left out, unless all are smaller."),
    ] = 100,
    least_branch: Annotated[
        float, typer.Option(metavar="VOXELS", min=0, help="Shorter branches are left out.")
    ] = 8.0,
    app2: Annotated[
        str | None,
        typer.Option(metavar="PROGRAM", help="Vaa3D's program: its APP2 traces the same, to compare."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier traces in --out.")] = False,
    as_json: o.Json = False,
) -> None:
    """Trace the neuron in a mask or a probability map: SWC in micrometres and in voxels."""
    from morula.post import Tracing
    from morula.workflows.trace import trace as work

    found = work(
        source,
        out=out,
        root=o.place("--root", root),
        voxel=o.voxel_size("--voxel-size", voxel_size),
        label=label,
        tracing=Tracing(
            threshold=threshold, weak=threshold / 2, gap=gap, speck=speck, least_branch=least_branch
        ),
        app2=app2,
        overwrite=overwrite,
    )
    alone = found[0].label is None
    told = {"out": str(out), "labels": {str(each.label): each.as_json() for each in found}}
    show(found[0].as_json() if alone else told, as_json, "\n".join(map(str, found)))


@app.command()
def view3d(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run, or a folder of predictions or of `trace`.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page.")] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write one HTML page on which the traced neurons can be turned in space."""
    from morula.workflows.view3d import view3d as work

    path = work(run, out=out)
    if as_json or not quiet:
        show({"page": str(path)}, as_json, f"open {path}")
