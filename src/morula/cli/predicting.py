"""The verb that applies a trained run: to images, and block by block to volumes of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morula.cli import options as o
from morula.cli.verbs import app, show

__all__ = ["predict"]


@app.command()
def predict(
    run: o.RunFolder,
    images: Annotated[str, typer.Argument(help="An image or a folder; a URL of an OME-Zarr.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    pixel_size: o.PixelSize = None,
    voxel_size: o.VoxelSize = None,
    axes: o.Axes = None,
    root: o.Root = None,
    skip_bad: o.SkipBad = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace earlier predictions in --out.")
    ] = False,
    workers: o.Workers = 1,
    executor: o.ExecutorName = None,
    dry_run: o.DryRun = False,
    device: o.Device = o.DeviceName.auto,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Segment new images with a trained run, and report; a volume of any size where --out ends with .zarr."""
    if o.is_store(out, workers, executor, dry_run):
        from morula.workflows.big import predict_big

        told = predict_big(
            run,
            images,
            out=out,
            voxel=o.voxel(pixel_size, voxel_size),
            axes=axes,
            workers=workers,
            executor=executor,
            dry_run=dry_run,
            device=device,
            console=o.console(quiet),
        )
        return show(told.as_json(), as_json, str(told))
    from morula.workflows.predict import predict as work

    found = work(
        run,
        images,
        out=out,
        voxel=o.voxel(pixel_size, voxel_size),
        axes=axes,
        root=o.place("--root", root),
        skip_bad=skip_bad,
        overwrite=overwrite,
        device=device,
        console=o.console(quiet),
    )
    left = f", {len(found.skipped)} left out" if found.skipped else ""
    for reason in () if quiet else found.skipped:
        o.console(quiet).print(f"left out: {reason}", markup=False)
    told = f"{found.objects} objects in {len(found.images)} images{left}: open {found.report}"
    return show(found.as_json(), as_json, told)
