"""Volumes whose maps would fill the memory: by blocks, to the files that every prediction has."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morula.core.files import has_content, write_json
from morula.core.hashing import fingerprint
from morula.core.types import Array, ArraySource, Axes, Record, Volume
from morula.data import made_with, write_objects
from morula.data.export import is_stored, prediction_folder
from morula.data.labels import LABELS, STORE, copy_labels, label_type
from morula.data.objects import ObjectTable, table_of, told_of
from morula.data.ome_zarr import create_image
from morula.data.predicted import TABLE
from morula.recipes import BlockPredictor, Predictor
from morula.workflows.blocks import (
    VOXELS,
    decoded_grid,
    empty,
    predicted_grid,
    steps_of,
    work_of,
    working,
)

if TYPE_CHECKING:
    from rich.console import Console

    from morula.blockwise import BlockGrid, BlockModel, Box, Scoring, Work

__all__ = ["segment_large"]

_MAPS = 2**31
"""Bytes of the maps of a volume as float32 beyond which it is large: 390 voxels a side with nine of them."""


def segment_large(
    model: Predictor,
    records: Sequence[Record],
    out: Path,
    wanted: Mapping[str, str],
    console: Console | None,
) -> dict[str, int]:
    """Segments those of the volumes that are large, as `morula.workflows.predict.segment` does the others.

    The labels are those that memory would give. Until a volume is done its files are in `out/<stem>.work`,
    where a command that was killed goes on when it is repeated; they go when it is begun with another model
    or volume.

    Args:
        model: only one that scores what it finds by blocks takes large volumes.
        records: of which those with labels to be measured are left to memory.
        out: folder of the predictions.
        wanted: what each prediction follows from, by id.
        console: where progress goes.

    Returns:
        How many objects each large volume has, by id.

    Raises:
        DataError: a folder holds something else, or may not be written to.
        UsageError: another process is at work on the same.
        ResourceError: the disk is full.
    """
    counts: dict[str, int] = {}
    for record in records:
        if (blocks := _blocks(model, record)) is None or blocks.scoring is None:
            continue
        folder, made = out / record.id, wanted[record.id]
        if made_with(folder) != made:
            _segment(blocks, blocks.scoring, record.image, folder, made, console)
        shutil.rmtree(work_of(folder), ignore_errors=True)  # of one that was killed after its last step
        counts[record.id] = _rows(folder / TABLE)
    return counts


def _blocks(model: Predictor, record: Record) -> BlockModel | None:
    """What segments a volume by blocks, None where it is not large or cannot be."""
    voxels = prod(record.image.shape)
    if voxels <= VOXELS or record.labels is not None or record.image.axes.order != "zyx":
        return None
    blocks = model.blocks(record.image) if isinstance(model, BlockPredictor) else None
    return blocks if blocks is not None and 4 * voxels * len(blocks.channels) > _MAPS else None


def _segment(
    model: BlockModel, scoring: Scoring, volume: Volume, folder: Path, made: str, console: Console | None
) -> None:
    from morula.blockwise import Work, predict_maps

    predicted, decoded = (each(volume, model, VOXELS) for each in (predicted_grid, decoded_grid))
    with working(folder, replaced=True) as place, ExitStack() as stack:
        _begin(place, fingerprint(made, predicted, decoded))
        work = Work(place, {"made": made}, started=steps_of(console, prod(volume.shape), stack))
        maps = work.array("maps", predicted, np.uint8, len(model.channels))
        predict_maps(lambda: model, volume, maps, predicted, work)
        labels = work.array("labels", decoded, np.uint32)
        count = model.decode(maps, labels, decoded, work)
        told = work.run("measure", _Measure(labels, maps, scoring.sure, decoded), decoded)
        table, scores = _measured(told, count, volume.shape)
        with prediction_folder(folder, made) as temporary:
            _write_labels(temporary, labels, count, volume, work)
            write_objects(temporary / TABLE, table, (scoring.name,) * count, scores, volume)


def _begin(place: Path, made: str) -> None:
    """Removes what was made of something else."""
    from morula.engine import read_json

    begun = place / "begun.json"
    if not has_content(begun) or read_json(begun) != made:
        empty(place)
        write_json(begun, made)


@dataclass(frozen=True)
class _Measure:
    """A task: what a block tells of the objects in it."""

    labels: ArraySource
    maps: ArraySource
    sure: Callable[[ArraySource, Box], Array]
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = self.grid.write(index)
        corner = [each.start for each in box]
        return told_of(np.asarray(self.labels[box]), corner, self.sure(self.maps, box))


def _measured(
    told: Sequence[Mapping[str, Array]], count: int, shape: tuple[int, ...]
) -> tuple[ObjectTable, Array]:
    """All objects, and the score of each."""
    table = table_of(told, np.arange(1, count + 1), shape)
    sums = np.zeros(count)
    for each in told:
        sums[each["ids"].astype(np.int64) - 1] += each["sure"]
    return table, sums / np.maximum(table.area, 1)


def _write_labels(folder: Path, labels: ArraySource, count: int, volume: Volume, work: Work) -> None:
    """As `write_prediction` names them; cheap beside all else, so that what was killed here begins anew."""
    from morula.blockwise import BlockGrid, fill_pyramid

    dtype = label_type(np.array([count]))
    if not is_stored(labels.shape, dtype):
        copy_labels(folder / LABELS, labels, dtype, voxel=volume.voxel)
        return
    levels = create_image(folder / STORE, labels.shape, dtype, Axes("zyx"), volume.voxel, name="labels")
    for box in BlockGrid.aligned(labels.shape, levels[0].unit, (0, 0, 0), voxels=VOXELS):
        levels[0][box] = np.asarray(labels[box]).astype(dtype)
    shutil.rmtree(work.folder / "pyramid", ignore_errors=True)
    fill_pyramid(levels, "mode", replace(work, folder=work.folder / "pyramid"), "labels")


def _rows(table: Path) -> int:
    with table.open(newline="", encoding="utf-8") as stream:
        return sum(1 for _ in csv.DictReader(stream))
