"""A 2D image of any size through a trained run for cells, block by block, into one OME-Zarr and a table."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morula.core.errors import DataError, UsageError
from morula.core.types import Volume, VoxelSize
from morula.data import write_objects
from morula.data.open import open_volume
from morula.workflows.big import BigPrediction
from morula.workflows.blocks import (
    address_of,
    check_out,
    levels_of,
    steps_of,
    threads_of,
    weights_of,
    working,
)
from morula.workflows.predict import open_model

if TYPE_CHECKING:
    from rich.console import Console

    from morula.blockwise import Work
    from morula.tasks.cells.large import CellPredictor, Sight

__all__ = ["predict_image", "table_of"]

_LABELS = "cells"
_SIDE = 2048  # pixels of a block; about 1 GB while it is worked on
_CHUNK = 512
_SCRATCH = 17  # bytes a pixel at the common scale of what lies between the steps, before compression


def predict_image(
    run: Path,
    image: str,
    out: Path,
    voxel: VoxelSize = None,
    *,
    workers: int = 1,
    executor: str | None = None,
    dry_run: bool = False,
    device: str = "auto",
    console: Console | None = None,
    side: int = _SIDE,
) -> BigPrediction:
    """Segments a 2D image of any size, as `morula.workflows.big.predict_big` does volumes.

    `out` holds the network's maps, and the cells under `labels/cells`, with pyramids; beside it lies their
    table (`table_of`), with the columns of `objects.csv`.

    Args:
        run: a finished run of recipe psm or cupre.
        image: OME-Zarr or TIFF with axes (c) y x; other files are decoded whole.
        out: the store to make.
        voxel: size of a pixel in nm, in place of what the file says.
        workers: how many work at once.
        executor: as `morula.blockwise.workers` takes it.
        dry_run: measure one tile and say what it would take; write nothing.
        device: `auto`, `cpu`, `cuda` or `mps`.
        console: where progress goes; silent by default.
        side: of a block in pixels.

    Raises:
        UsageError: the output exists or another process makes it, or the run follows a publication and has
            no blocks.
        DataError: the run is not finished, or the image cannot be used.
        ResourceError: no scheduler, no workers or others than ours, the disk is full, or a worker died.
    """
    from morula.blockwise import Work
    from morula.blockwise import workers as recruit

    volume = _opened(address_of(image), voxel)
    if not (out.with_name(f"{out.name}.work") / out.name).exists():
        check_out(table_of(out))  # else it is ours: what moves it to its place was stopped there
    executor = executor or ("inline" if workers == 1 else "local")
    load = _Load(str(run.resolve()), weights_of(run), device, threads_of(workers, executor))
    model = load()
    if dry_run:
        return _measured(model, volume, out, workers, side)
    with (
        recruit(workers, executor) as team,
        working(out) as folder,
        ExitStack() as stack,
    ):
        parts = {"weights": load.weights, "input": volume.fingerprint, "morula": version("morula")}
        height, width = volume.spatial_shape
        steps, chunk = steps_of(console, height * width, stack), min(_CHUNK, side)
        return _done(Work(folder, parts, team, steps, (1, chunk, chunk)), load, volume, out, side)


def table_of(out: Path) -> Path:
    """Where the table of the cells lies: beside the store.

    >>> table_of(Path("seg.ome.zarr")).name
    'seg.objects.csv'
    """
    name = out.name
    for suffix in (".zarr", ".ome"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return out.with_name(f"{name}.objects.csv")


def _done(work: Work, load: _Load, volume: Volume, out: Path, side: int) -> BigPrediction:
    from morula.blockwise import fill_pyramid
    from morula.tasks.cells.large import MAPS, find_cells
    from morula.tasks.cells.standard import Pixels

    store = work.folder / out.name
    chunk = min(_CHUNK, side)
    maps, labels = levels_of(
        store, volume, MAPS, _LABELS, work.parts, chunk=(chunk, chunk), shard=(side, side)
    )
    began = time.monotonic()
    sight, found = find_cells(load, Pixels(volume), maps[0], labels[0], work, side=side)
    seconds = time.monotonic() - began
    fill_pyramid(maps, "mean", work, "maps")
    fill_pyramid(labels, "mode", work, "labels")
    table = work.folder / table_of(out).name
    write_objects(table, found.table, found.classes, found.scores, volume)
    table.replace(table_of(out))
    store.rename(out)
    return _told(volume, sight, out, side, len(found.scores), seconds)


@dataclass(frozen=True)
class _Load:
    """Loads the run in the process that asks for it, once for each content of it."""

    run: str
    weights: tuple[str, ...]
    device: str
    threads: int | None

    def __call__(self) -> CellPredictor:
        return _loaded(self)


@lru_cache(maxsize=1)
def _loaded(load: _Load) -> CellPredictor:
    import torch

    from morula.tasks.cells.large import CellPredictor

    model: Any = open_model(Path(load.run), load.device)
    if load.threads is not None:
        torch.set_num_threads(load.threads)
    if not isinstance(model, CellPredictor):
        found = "it was trained as its publication does, and segments only images that fit in memory"
        raise UsageError(load.run, found, "take a run of preset best, or write to a folder")
    return model


def _opened(image: str, voxel: VoxelSize) -> Volume:
    volume = open_volume(image, voxel=voxel)
    if volume.axes.spatial != "yx":
        found = f"axes {volume.axes.order}, but the run is for 2D images"
        raise DataError(image, found, "give an image with axes (c) y x, or take a run of a volumetric recipe")
    return volume


def _measured(model: CellPredictor, volume: Volume, out: Path, workers: int, side: int) -> BigPrediction:
    """What it would take, from the tile in the middle."""
    from morula.tasks.cells.large import tiles_of
    from morula.tasks.cells.standard import Pixels

    image = Pixels(volume)
    sight = model.sight(image, volume.uri)
    tiles = tiles_of(sight)
    began = time.monotonic()
    _, y, x = tiles.read(len(tiles) // 2)
    model.maps(sight.standard.part(image, (y, x)))
    return _told(volume, sight, out, side, None, (time.monotonic() - began) * len(tiles) / workers)


def _told(
    volume: Volume, sight: Sight, out: Path, side: int, objects: int | None, seconds: float
) -> BigPrediction:
    from morula.tasks.cells.large import MAPS, blocks_of

    (height, width), (high, wide) = volume.spatial_shape, sight.standard.common
    blocks = blocks_of(sight, side)
    disk = int(height * width * (len(MAPS) + 4) * 4 / 3 + high * wide * _SCRATCH)
    labels = f"labels/{_LABELS}"
    return BigPrediction(out, labels, objects, len(blocks), blocks.block[1:], blocks.halo[1:], disk, seconds)
