"""Scores of label volumes of any size: OME-Zarr stores, counted block by block and never read whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from morula.blockwise import (
    BlockGrid,
    InlineExecutor,
    Work,
    label_objects,
    overlap_by_blocks,
    slices_by_blocks,
)
from morula.blockwise.grid import relative
from morula.blockwise.join import grown
from morula.core.errors import DataError, UsageError, times
from morula.core.types import Array, ArraySource
from morula.data import is_mask, open_ome_zarr, read_labels
from morula.data.ome_zarr import absent_chunks, is_ome_zarr, scratch
from morula.metrics import (
    Overlap,
    ignore_border,
    instance_scores_of,
    iou_of_slices,
    neuron_scores_of,
    semantic_scores_of,
)
from morula.metrics.matching import matching_of

__all__ = ["nothing_left", "store_scores"]

_UNIT = (64, 256, 256)  # voxels; what our stores write at once


def store_scores(
    pred: str | PathLike[str],
    truth: str | PathLike[str],
    kind: str,
    *,
    border: float | None = None,
    voxels: int = 2**23,
) -> dict[str, float]:
    """What `morula.workflows.evaluate.evaluate` says of two label volumes, from tables of blocks that add up.

    Args:
        pred: labels of OME-Zarr (`seg.ome.zarr/labels/neurons`), or a label file, which is read whole.
        truth: the same of the truth.
        kind: `instances`, `semantic`, `volumes` or `neurons`.
        border: leave out voxels this near to a border of the truth, in pixels of a section; of `neurons`.
        voxels: of the largest block.

    Raises:
        DataError: a store cannot be read, holds no labels, or the shapes differ.
        UsageError: another kind.
    """
    if kind not in _KINDS:
        known = f"they hold labels, which are {', '.join(_KINDS)}"
        raise UsageError("--kind", f"OME-Zarr stores are not scored as {kind}", known)
    found, expected = _opened(pred), _opened(truth)
    if found.shape != expected.shape:
        told = f"shape {times(found.shape)}, but the truth {fspath(truth)} has {times(expected.shape)}"
        raise DataError(pred, told, "name labels of the same volume at the same level")
    grid = BlockGrid.aligned(found.shape, _UNIT, (0, 0, 0), voxels=voxels)
    if border is not None:
        expected = _Inside(expected, border)
    return _KINDS[kind](_Pair(found, expected, grid, (fspath(pred), fspath(truth))))


@dataclass(frozen=True)
class _Labels:
    """Labels as sections of whole numbers, whatever they are stored as."""

    source: ArraySource
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        shape = tuple(self.source.shape)
        return shape if len(shape) == 3 else (1, *shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8) if self.source.dtype == bool else np.dtype(self.source.dtype)

    def __getitem__(self, box: tuple[slice, ...], /) -> Array:
        kept = box if len(self.source.shape) == 3 else box[1:]
        labels = np.asarray(self.source[kept]).astype(self.dtype)
        if self.dtype.kind == "i" and labels.min(initial=0) < 0:
            found = f"negative labels (lowest {labels.min()})"
            raise DataError(self.where, found, "use 0 for background and 1, 2, ... for objects")
        return labels.reshape([each.stop - each.start for each in box])


@dataclass(frozen=True)
class _Inside:
    """True labels without what is near a border, block by block as in the whole."""

    labels: _Labels
    border: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.labels.dtype

    def __getitem__(self, box: tuple[slice, ...], /) -> Array:
        far = int(self.border) + 2  # a border is seen from the voxel beside it
        wide = grown(box, self.shape, (0, far, far))
        return ignore_border(self.labels[wide], self.border)[relative(box, wide)]


@dataclass(frozen=True)
class _Pair:
    pred: ArraySource
    truth: ArraySource
    grid: BlockGrid
    names: tuple[str, str]

    def table(self) -> Overlap:
        return overlap_by_blocks(self.pred, self.truth, self.grid, InlineExecutor())

    def instances(self) -> dict[str, float]:
        return instance_scores_of(self.table())

    def neurons(self) -> dict[str, float]:
        table = self.table()
        if not table.truth_areas.sum():
            if isinstance(self.truth, _Inside):
                raise nothing_left(self.names[1], self.truth.border)
            raise DataError(self.names[1], "no voxel is labelled", "name the true labels")
        return neuron_scores_of(table)

    def semantic(self) -> dict[str, float]:
        return semantic_scores_of(slices_by_blocks(self.pred, self.truth, self.grid, InlineExecutor()))

    def volumes(self) -> dict[str, float]:
        sections = slices_by_blocks(self.pred, self.truth, self.grid, InlineExecutor())
        whole, table = semantic_scores_of(sections), self.table()
        sides = (
            (self.pred, table.pred_ids, table.pred_areas),
            (self.truth, table.truth_ids, table.truth_areas),
        )
        with TemporaryDirectory(prefix="morula-") as folder:
            pred, truth = (
                self._numbered(labels, Path(folder) / str(number))
                if is_mask(ids, areas, table.size, where=self.names[number])
                else labels
                for number, (labels, ids, areas) in enumerate(sides)
            )
            table = replace(self, pred=pred, truth=truth).table()
        return {
            "iou": whole["iou"],
            "iou_per_slice": iou_of_slices(sections, empty=0.0),
            "dice": whole["dice"],
            "ap50": matching_of(table).counts.ap,
        }

    def _numbered(self, mask: ArraySource, folder: Path) -> ArraySource:
        """The 26-connected objects of a mask."""
        chunk = tuple(min(a, b) for a, b in zip((32, 128, 128), self.grid.block, strict=True))
        sink = scratch(folder / "labels.zarr", self.grid.shape, np.uint32, chunk)
        label_objects(mask, sink, self.grid, Work(folder / "work", {}, chunk=chunk), fill=False)
        return sink


_KINDS: dict[str, Callable[[_Pair], dict[str, float]]] = {
    "instances": _Pair.instances,
    "semantic": _Pair.semantic,
    "volumes": _Pair.volumes,
    "neurons": _Pair.neurons,
}


def nothing_left(truth: str | PathLike[str], border: float) -> DataError:
    """What is wrong with a truth that has nothing but borders."""
    found = f"no labelled voxel is more than {border:g} pixels from a border"
    return DataError(truth, found, "give a smaller --border, or a truth with labels")


def _opened(path: str | PathLike[str]) -> _Labels:
    if not is_ome_zarr(path):
        return _Labels(read_labels(path), fspath(path))
    volume = open_ome_zarr(path)
    if volume.axes.has_channels or volume.dtype.kind not in "biu":
        found = f"axes {volume.axes.order} of {volume.dtype}, which are no labels"
        raise DataError(path, found, f"name the labels in it, such as {fspath(path)}/labels/neurons")
    absent_chunks(path)  # `evaluate` tells of those that may be empty
    return _Labels(volume.source, fspath(path))
