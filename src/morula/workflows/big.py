"""A volume of any size through a trained run, block by block, into one OME-Zarr with its labels."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import DataError, UsageError
from morula.core.types import Volume, VoxelSize
from morula.data.open import open_volume
from morula.recipes import RECIPES, BlockPredictor
from morula.workflows.blocks import (
    VOXELS,
    address_of,
    check_out,
    decoded_grid,
    levels_of,
    predicted_grid,
    steps_of,
    threads_of,
    unit_of,
    weights_of,
    working,
)
from morula.workflows.neurons import StoredAxes, check_new, say
from morula.workflows.predict import open_model, recipe_of

if TYPE_CHECKING:
    from rich.console import Console

    from morula.blockwise import BlockGrid, BlockModel, Work

__all__ = ["BigPrediction", "predict_big"]

_SCRATCH = 4  # bytes a voxel of each array between two steps, before compression


@dataclass(frozen=True)
class BigPrediction:
    """What is done, or with `dry` would be done.

    Attributes:
        out: the store.
        labels: the group of the labels in it.
        objects: how many were found, None of a dry run.
        blocks: how many are predicted.
        block: voxels of each, z, y, x, or pixels, y, x.
        halo: voxels beyond it that its maps depend on.
        disk: bytes that the result and what lies between the steps take at most, before compression.
        seconds: of the prediction: measured, or of a dry run estimated from a part of the volume.
    """

    out: Path
    labels: str
    objects: int | None
    blocks: int
    block: tuple[int, ...]
    halo: tuple[int, ...]
    disk: int
    seconds: float

    @property
    def dry(self) -> bool:
        """Whether nothing was written."""
        return self.objects is None

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "out": str(self.out),
            "labels": self.labels,
            "objects": self.objects,
            "blocks": self.blocks,
            "block": list(self.block),
            "halo": list(self.halo),
            "disk_bytes": self.disk,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """In words."""
        size, halo = (" x ".join(map(str, each)) for each in (self.block, self.halo))
        unit = "voxels" if len(self.block) == 3 else "pixels"
        blocks = "1 block" if self.blocks == 1 else f"{self.blocks} blocks"
        told = f"{blocks} of {size} {unit} with a halo of {halo}"
        if self.dry:
            return (
                f"{told}; at most {self.disk / 1e9:.2f} GB of disk, about {self.seconds:.0f} s of prediction"
            )
        return f"{self.objects} objects in {told}: {self.out}/{self.labels}"


def predict_big(
    run: str | Path,
    image: str | Path,
    *,
    out: str | Path,
    voxel: VoxelSize = None,
    axes: StoredAxes = None,
    workers: int = 1,
    executor: str | None = None,
    dry_run: bool = False,
    device: str = "auto",
    console: Console | None = None,
    voxels: int = VOXELS,
) -> BigPrediction:
    """Segments a volume or 2D image of any size: `out` holds maps, and labels under `labels/`, with pyramids.

    A run that was killed goes on when it is repeated, and ends byte for byte as it would have. Until it is
    done its files are in `<out>.work`; what was begun with another model, input or grid is refused.

    Args:
        run: a finished run, of a recipe for volumes or for cells in 2D.
        image: OME-Zarr, HDF5, MRC or a TIFF stack with axes z, y, x; or as `predict_image` takes it.
        out: the store to make, `name.ome.zarr`.
        voxel: size of a voxel in nm, in place of what the file says.
        axes: `zyx` where a volume of neurons is right to be longest along z by far; no other order is read.
        workers: how many work at once.
        executor: as `morula.blockwise.workers` takes it; by default `inline` for one worker, else `local`.
        dry_run: measure a part of the prediction and say what it would take; write nothing.
        device: `auto`, `cpu`, `cuda` or `mps`.
        console: where progress goes; silent by default.
        voxels: of the largest block, as `morula.blockwise.prediction_grid` takes it.

    Raises:
        UsageError: the output exists or another process makes it, the recipe takes no volumes, or the order
            of axes or sizes is wrong or in doubt.
        DataError: the run is not finished, the image cannot be used, its voxels are of another shape than
            those that the run was trained on, or the folder may not be written to.
        ResourceError: no scheduler, no workers or others than ours, the disk is full, or a worker died.
    """
    from morula.blockwise import workers as recruit

    run, out = Path(run), Path(out)
    check_out(out)
    recipe = RECIPES[recipe_of(run)]
    if axes is not None and (axes != "zyx" or not recipe.block):
        found = "what is segmented by blocks is read with axes z, y, x alone"
        raise UsageError("--axes", found, "leave it out; store a volume in that order, or write to a folder")
    if not recipe.volumes:
        from morula.workflows.big_images import predict_image

        return predict_image(
            run, str(image), out, voxel,
            workers=workers, executor=executor, dry_run=dry_run, device=device, console=console,
        )  # fmt: skip
    image = address_of(image)
    executor = executor or ("inline" if workers == 1 else "local")
    volume, threads = _opened(image, voxel), threads_of(workers, executor)
    load = _Load(str(run.resolve()), weights_of(run), device, image, volume.fingerprint, voxel, threads)
    model = load()
    if recipe.block:
        say(console, check_new(run, volume, axes))
    grid = predicted_grid(volume, model, voxels)
    if dry_run:
        return _measured(model, volume, grid, out, workers)
    with (
        recruit(workers, executor) as team,
        working(out) as folder,
        ExitStack() as stack,
    ):
        from morula.blockwise import Work

        parts = {"weights": load.weights, "input": load.input, "morula": version("morula")}
        steps = steps_of(console, prod(volume.shape), stack)
        work = Work(folder, parts, team, steps)
        return _done(work, load, volume, grid, model, out, decoded_grid(volume, model, voxels))


def _done(
    work: Work,
    load: _Load,
    volume: Volume,
    grid: BlockGrid,
    model: BlockModel,
    out: Path,
    decoded: BlockGrid,
) -> BigPrediction:
    from morula.blockwise import fill_pyramid, predict_maps

    store = work.folder / out.name
    maps, labels = levels_of(store, volume, model.channels, model.labels, work.parts)
    began = time.monotonic()
    predict_maps(load, volume, maps[0], grid, work)
    seconds = time.monotonic() - began
    objects = model.decode(maps[0], labels[0], decoded, work)
    fill_pyramid(maps, "mean", work, "maps")
    fill_pyramid(labels, "mode", work, "labels")
    store.rename(out)
    return _told(out, model, grid, objects, seconds)


@dataclass(frozen=True)
class _Load:
    """Loads the model in the process that asks for it, once for each content of run and image."""

    run: str
    weights: tuple[str, ...]
    device: str
    image: str
    input: str
    voxel: VoxelSize
    threads: int | None

    def __call__(self) -> BlockModel:
        return _loaded(self)


@lru_cache(maxsize=1)
def _loaded(load: _Load) -> BlockModel:
    import torch

    model = open_model(Path(load.run), load.device)
    if load.threads is not None:
        torch.set_num_threads(load.threads)
    if not isinstance(model, BlockPredictor):
        found = "its recipe does not segment volumes of any size"
        raise UsageError(load.run, found, "take a run of a volumetric recipe, such as emda or mscon")
    return model.blocks(_opened(load.image, load.voxel))


def _opened(image: str, voxel: VoxelSize) -> Volume:
    volume = open_volume(image, voxel=voxel)
    if volume.axes.order != "zyx":
        if volume.axes.spatial == "yx":
            fix = "take a run of recipe psm or cupre, or give a volume"
            raise DataError(image, "a 2D image, but the run is for volumes", fix)
        found = f"axes {volume.axes.order}, {len(volume.channels)} channels"
        raise DataError(image, found, "give one channel with axes z, y, x")
    return volume


def _measured(model: BlockModel, volume: Volume, grid: BlockGrid, out: Path, workers: int) -> BigPrediction:
    """What it would take, from the tiles that a shard in the middle needs, or from a block there."""
    from morula.blockwise import BlockGrid, Tiled

    tiled = model.predict if isinstance(model.predict, Tiled) else None
    blocks = grid if tiled is None else BlockGrid(grid.shape, unit_of(volume), (0, 0, 0))
    box = blocks.write(len(blocks) // 2)
    began = time.monotonic()
    model.predict(volume, box)
    spent = time.monotonic() - began
    if tiled is not None:
        share = len(tiled.tiling) / len(tiled.tiling.tiles(box))
    else:
        share = prod(grid.shape) / prod(each.stop - each.start for each in box)
    return _told(out, model, grid, None, spent * share / workers)


def _told(
    out: Path, model: BlockModel, grid: BlockGrid, objects: int | None, seconds: float
) -> BigPrediction:
    from morula.blockwise import predict_scratch

    size, maps = prod(grid.shape), len(model.channels)
    predicting = size * maps + predict_scratch(model, grid)
    disk = max(predicting, int(size * (maps * 4 / 3 + 4 * 4 / 3 + 2 * _SCRATCH)))
    labels = f"labels/{model.labels}"
    return BigPrediction(out, labels, objects, len(grid), grid.block, model.halo, disk, seconds)
