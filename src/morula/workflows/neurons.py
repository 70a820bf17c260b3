"""A volume of which a block is labelled: what is planned for it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, UsageError
from morula.core.types import Record, VoxelSize
from morula.data import load_block
from morula.data.ome_zarr import is_ome_zarr
from morula.data.open import read_header
from morula.data.turned import Stored
from morula.data.volumes import list_volumes, load_volumes
from morula.recipes import RECIPES

__all__ = [
    "LABEL_A_BLOCK",
    "NEURONS",
    "SCORED_ON_A_PART",
    "LabelOffset",
    "StoredAxes",
    "check_axes",
    "is_volume",
    "lacks_block",
    "load_neurons",
    "survey_neurons",
    "why_neurons",
]

LabelOffset = tuple[int, int, int] | None
"""First voxel of a labelled block in its volume, z, y, x."""

StoredAxes = Stored | None
"""Order of the axes in a file; None where nobody said."""

NEURONS = "mscon"
"""The recipe that a labelled block of a volume gets where none is asked for."""

SCORED_ON_A_PART = (
    "The scores are of a part of the labels that the network did not learn from, but that a threshold was "
    "chosen on. Elsewhere in the volume expect a little less."
)
LABEL_A_BLOCK = (
    "Correct the neurons in a block of the volume, best where the pictures above look wrong, and run again "
    "with it as --labels: it teaches the network, tunes the threshold, and a part of it measures the result."
)

_THIN = 4.0  # times; a volume longest in z and this much longer than in y or x rarely has axes z, y, x
_FEW = 5  # neurons
_ANISOTROPIC = 1.8  # times


def is_volume(images: Path) -> bool:
    """Whether a path names one volume: a stack in a file or an OME-Zarr; a folder holds images to pair.

    What cannot be read is no volume; who opens it next says what is wrong.
    """
    if images.is_dir() and not is_ome_zarr(images):
        return False
    try:
        return all("z" in read_header(path).axes.order for path in list_volumes(images))
    except DataError:
        return False


def lacks_block(plan: Mapping[str, Any]) -> bool:
    """Whether a recipe that learns from a labelled block has none; `plan` is what `plan.json` holds."""
    return RECIPES[plan["recipe"]].block and plan["labels"] is None


def load_neurons(
    volume: Path, labels: Path | None, voxel: VoxelSize, offset: LabelOffset, axes: StoredAxes
) -> Record:
    """The record of a volume and, where there are any, the labels of its block.

    Raises:
        UsageError: the voxel size is missing, the block is missing or cannot be placed, or axes are in doubt.
        DataError: the volume or the labels cannot be used.
    """
    known, stored = None if voxel == "unknown" else voxel, axes or "zyx"
    if labels is not None:
        record = load_block(volume, labels, offset=offset, voxel=known, stored=stored)
    elif offset is not None:
        raise UsageError("--label-offset", "there are no labels that it could place", "add --labels")
    else:
        found, _ = load_volumes(volume, voxel=known, stored=stored)
        if len(found) != 1:
            raise DataError(volume, f"{len(found)} volumes; a run segments one", "name one of them")
        (record,) = found
    check_axes(record, axes)
    if voxel == "unknown":  # only now, for the size may have told where the block lies
        return replace(record, image=record.image.sized(voxel))
    if record.image.voxel is None or record.image.voxel.z is None:
        found = f"{record.image.uri} does not say how large a voxel is"
        raise UsageError("--voxel-size", found, "give Z Y X in nm, or the word unknown for thick sections")
    return record


def check_axes(record: Record, axes: StoredAxes) -> None:
    """Asks for the order of axes where z, y, x would make a tower of a volume.

    Raises:
        UsageError: z is the longest axis by far, and nobody said that this is right.
    """
    z, *plane = record.image.spatial_shape
    if axes is None and z >= max(plane) and z > _THIN * min(plane):
        told = " x ".join(map(str, record.image.spatial_shape))
        found = f"{record.image.uri} is {told}, so as z, y, x it would be by far the longest along z"
        raise UsageError("--axes", found, "give the order of its axes, such as xyz; zyx if z is that long")


def survey_neurons(record: Record, offset: LabelOffset, axes: StoredAxes) -> dict[str, Any]:
    """What the volume and its block are, as JSON values."""
    size, shape = record.image.voxel, list(record.image.spatial_shape)
    labelled: dict[str, Any] = {"labelled": 0, "neurons": 0, "block": None, "share": 0.0}
    if record.labels is not None and record.box is not None:
        labels = record.labels()
        labelled = {
            "labelled": 1,
            "neurons": len(np.unique(labels[labels > 0])),
            "block": [[each.start, each.stop] for each in record.box],
            "share": float(labels.size / np.prod(shape)),
        }
    return {
        "images": 1,
        "dimensions": 3,
        "smallest": shape,
        "largest": shape,
        "dtypes": [str(record.image.dtype)],
        **labelled,
        "pixel_nm": None if size is None else [size.y, size.x],
        "label_offset": None if offset is None else list(offset),
        "axes": axes,
        "voxel": "unknown" if size is None else f"{size.z:g} {size.y:g} {size.x:g}",
    }


def why_neurons(
    record: Record, facts: dict[str, Any], recipe: str, *, asked: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The reasons for a neuron recipe and the doubts about it, one sentence each."""
    size = record.image.voxel
    flat = size is None or size.z is None or size.z >= _ANISOTROPIC * min(size.y, size.x)
    shape = "Voxels are about as deep as wide: z is an axis like the others."
    share, title = facts["share"], RECIPES[recipe].title
    told = f"A block of the volume is labelled: {facts['neurons']} neurons, {share:.0%} of the voxels."
    judged = "Scores are of the part of the block that is kept for validation; the threshold is chosen there."
    if not facts["labelled"]:
        told = "No label is given: what a neuron is, the network learns from a watershed of dark membranes."
        judged = "The threshold is fixed, and nothing measures the result; a labelled block would do both."
    reasons = (
        told,
        f"Recipe {recipe} was asked for." if asked else f"Recipe {recipe} does this: {title}.",
        "Voxels are deeper than wide: fragments are flooded section by section." if flat else shape,
        judged,
    )
    return reasons, tuple(_doubts(record.image.spatial_shape, facts, known=size is not None))


def _doubts(shape: Sequence[int], facts: dict[str, Any], *, known: bool) -> list[str]:
    doubts: list[str] = []
    if shape[0] > max(shape[1:]) and facts["axes"] is None:
        told = " x ".join(map(str, shape))
        doubts.append(f"The volume is {told}, longest along z. If its axes are not z, y, x, give --axes.")
    if not known:
        doubts.append("No voxel size is known: sections are taken to be thick, and volumes are in voxels.")
    if facts["labelled"] and facts["neurons"] < _FEW:
        doubts.append(
            f"Only {facts['neurons']} neurons are labelled; ten or more show more kinds of borders."
        )
    return doubts
