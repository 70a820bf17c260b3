"""A volume of which a block is labelled: what is planned for it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morula.blockwise import sample
from morula.core.config import Config, override
from morula.core.errors import DataError, UsageError
from morula.core.types import Record, Volume, Voxel, VoxelSize
from morula.data import load_block
from morula.data.ome_zarr import is_ome_zarr
from morula.data.open import read_header
from morula.data.turned import Stored
from morula.data.volumes import list_volumes, load_volumes
from morula.recipes import RECIPES

if TYPE_CHECKING:
    from rich.console import Console

    from morula.tasks.neurons import Decode, Network

__all__ = [
    "LABEL_A_BLOCK",
    "NEURONS",
    "SCORED_ON_A_PART",
    "LabelOffset",
    "StoredAxes",
    "axes_doubts",
    "check_contents",
    "check_new",
    "check_order",
    "is_volume",
    "lacks_block",
    "load_neurons",
    "resized",
    "say",
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
_GAPS = 0.5  # of the smallest box around all labels
_ANISOTROPIC = 1.8  # times
_DEEP = 16  # sections; in fewer, cubes tell little of how neurons go on
_RESIZED = 1.5  # times
_SECTIONS = 32  # that are read at once; a chunk of our stores is as deep
_KINDS = ("deeper than wide", "about as deep as wide")  # of voxels, by whether they count as cubes


def is_volume(images: Path, labels: Path, *, deep: bool) -> bool:
    """Whether a path names one volume: a stack in a file or an OME-Zarr, or sections in a folder.

    A folder holds images to pair, unless it is told or the labels show that there is a z axis.

    Args:
        images: the path.
        labels: of it or of a block.
        deep: whether the user spoke of a z axis.

    Raises:
        DataError: it cannot be read, and so is nothing.
    """
    if images.is_dir() and not is_ome_zarr(images):
        return (deep or _are_stack(labels)) and len(list_volumes(images)) == 1
    return all("z" in read_header(path).axes.order for path in list_volumes(images))


def lacks_block(plan: Mapping[str, Any]) -> bool:
    """Whether a recipe that learns from a labelled block has none; `plan` is what `plan.json` holds."""
    return RECIPES[plan["recipe"]].block and plan["labels"] is None


def load_neurons(
    volume: Path, labels: Path | None, voxel: VoxelSize, offset: LabelOffset, axes: StoredAxes
) -> Record:
    """The record of a volume and, where there are any, the labels of its block.

    Raises:
        UsageError: the voxel size is missing, the block is missing or cannot be placed, or the order of axes
            or sizes is in doubt.
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
    if voxel == "unknown":  # only now, for the size may have told where the block lies
        record = replace(record, image=record.image.sized(voxel))
    check_order(record.image, axes)
    if voxel != "unknown" and (record.image.voxel is None or record.image.voxel.z is None):
        found = f"{record.image.uri} does not say how large a voxel is"
        raise UsageError("--voxel-size", found, "give Z Y X in nm, or the word unknown for thick sections")
    check_contents(record.image)
    return record


def check_contents(image: Volume) -> None:
    """Refuses a volume that shows nothing; it is read by sections where a sample of it has one value only.

    Raises:
        DataError: all voxels are the same, or cannot be read.
    """
    seen = sample(image)
    if seen.min() < seen.max():
        return
    slabs = (image[z : z + _SECTIONS] for z in range(0, image.shape[0], _SECTIONS))
    if all((slab == seen[0]).all() for slab in slabs):
        raise DataError(image.uri, f"every voxel is {seen[0]}", "export the volume again, or name another")


def check_order(image: Volume, axes: StoredAxes) -> None:
    """Asks for the order of axes or sizes where z, y, x would make a tower of a volume or a plate of a voxel.

    Raises:
        UsageError: z is the longest axis by far, and nobody said that this is right; or the size of a voxel
            is none that sections have.
    """
    z, *plane = image.spatial_shape
    if axes is None and z >= max(plane) and z >= _THIN * min(plane):
        told = " x ".join(map(str, image.spatial_shape))
        found = f"{image.uri} is {told}, so as z, y, x it would be by far the longest along z"
        raise UsageError("--axes", found, "give the order of its axes, such as xyz; zyx if z is that long")
    size = image.voxel
    if size is None:
        return
    short, long = sorted((size.y, size.x))
    if long >= _ANISOTROPIC * short or (size.z is not None and short > _ANISOTROPIC * size.z):
        found = f"as Z Y X, voxels of {_nm(size)} nm are no pixels of sections"
        fix = "give it in the order Z Y X, z first; where pixels are no squares, resample the volume before"
        raise UsageError("--voxel-size", found, fix)


def check_new(run: Path, image: Volume, axes: StoredAxes) -> list[str]:
    """Refuses a volume that a trained run would take for another kind than it was trained on.

    Args:
        run: of a recipe for neurons.
        image: to be segmented.
        axes: what the user says of their order.

    Returns:
        Doubts about it, one sentence each.

    Raises:
        UsageError: the order of axes or sizes is in doubt.
        DataError: its voxels are of another shape than those that the run was trained on.
    """
    from morula.engine import read_json
    from morula.tasks.neurons import Network, is_isotropic

    check_order(image, axes)
    model = read_json(run / "model" / "model.json")
    if is_isotropic(Network.model_validate(model["network"]), image.voxel) != model["isotropic"]:
        cubes = bool(model["isotropic"])
        size = "of unknown size, taken for" if image.voxel is None else f"{_nm(image.voxel)} nm, so"
        found = f"its voxels are {size} {_KINDS[not cubes]}, but the run was trained on some {_KINDS[cubes]}"
        raise DataError(image.uri, found, "give --voxel-size Z Y X, or a run that was trained on such voxels")
    return [*axes_doubts(image.spatial_shape, axes), *resized(run, image)]


def say(console: Console | None, doubts: Sequence[str]) -> None:
    """Prints doubts where no plan told them before."""
    if console is not None:
        for doubt in doubts:
            console.print(doubt, markup=False, highlight=False)


def survey_neurons(record: Record, axes: StoredAxes) -> dict[str, Any]:
    """What the volume and its block are, as JSON values."""
    size, shape = record.image.voxel, list(record.image.spatial_shape)
    labelled: dict[str, Any] = {"labelled": 0, "neurons": 0, "block": None, "share": 0.0, "gaps": 0.0}
    if record.labels is not None and record.box is not None:
        labels = record.labels()
        labelled = {
            "labelled": 1,
            "neurons": len(np.unique(labels[labels > 0])),
            "block": [[each.start, each.stop] for each in record.box],
            "share": float(np.count_nonzero(labels > 0) / np.prod(shape)),
            "gaps": float(np.mean(labels < 0)),
        }
    return {
        "images": 1,
        "dimensions": 3,
        "smallest": shape,
        "largest": shape,
        "dtypes": [str(record.image.dtype)],
        **labelled,
        "pixel_nm": None if size is None else [size.y, size.x],
        "axes": axes,
        "voxel": "unknown" if size is None else _nm(size),
    }


def why_neurons(
    record: Record, facts: dict[str, Any], recipe: str, config: Config, *, asked: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The reasons for a neuron recipe and the doubts about it, one sentence each.

    Args:
        record: the volume.
        facts: of `survey_neurons`.
        recipe: its name.
        config: of the recipe, whose network and decoder may overrule what the voxel size says.
        asked: whether the user named the recipe.
    """
    settings: Any = config
    network: Network = settings.network
    share, title = facts["share"], RECIPES[recipe].title
    box = ", ".join(
        f"{axis} {each.start}:{each.stop}" for axis, each in zip("zyx", record.box or (), strict=False)
    )
    told = f"A block of the volume is labelled ({box}): "
    told += f"{facts['neurons']} neurons, {100 * share:.3g}% of the voxels."
    judged = "Scores are of the part of the block that is kept for validation; the threshold is chosen there."
    if not facts["labelled"]:
        told = "No label is given: what a neuron is, the network learns from a watershed of dark membranes."
        judged = "The threshold is fixed, and nothing measures the result; a labelled block would do both."
    reasons = (
        told,
        f"Recipe {recipe} was asked for." if asked else f"Recipe {recipe} does this: {title}.",
        _shaped(network, settings.decode, record.image.voxel),
        judged,
    )
    return reasons, tuple(_doubts(record, facts, network))


def _shaped(network: Network, decode: Decode, size: Voxel | None) -> str:
    """What follows from the shape of a voxel, or from the settings that overrule it, in a sentence."""
    from morula.tasks.neurons import decoder_of, is_isotropic

    cubes = is_isotropic(network, size)
    sections = decoder_of(decode, isotropic=cubes).fragments == "sections"
    told = f"Voxels are {_KINDS[cubes]}"
    if network.geometry != "auto":
        told = f"Voxels count as {_KINDS[cubes]}, for network.geometry is {network.geometry}"
    if sections != cubes:
        how = "z is an axis like the others" if cubes else "fragments are flooded section by section"
        return f"{told}: {how}."
    where = "section by section" if sections else "in the volume"
    return f"{told}, but fragments are flooded {where}, for decode.fragments is {decode.fragments}."


def axes_doubts(shape: Sequence[int], axes: StoredAxes) -> list[str]:
    """What to ask of the order of axes where z, y, x would be unusual, in a sentence."""
    z, short, long = shape[0], min(shape[1:]), max(shape[1:])
    if axes is not None or z == short or z < min(long, _THIN * short):
        return []
    told = " x ".join(map(str, shape))
    odd = "no axis is longer than z" if z >= long else f"z is {z / short:.0f} times as long as another axis"
    return [f"The volume is {told}: {odd}. If these are not z, y, x, give --axes."]


def _are_stack(labels: Path) -> bool:
    """Whether labels are sections in one file; a folder may hold them, or an image each."""
    if labels.is_dir() and not is_ome_zarr(labels):
        return False
    try:
        return "z" in read_header(labels).axes.order
    except DataError:  # another format, or a damaged file, which its reader tells more of
        return False


def _nm(size: Voxel) -> str:
    return " ".join(f"{edge:g}" for edge in (size.z, size.y, size.x) if edge is not None)


def resized(run: Path, image: Volume) -> list[str]:
    """Whether voxels are larger or smaller by far than any that a run was trained on, in a sentence.

    Args:
        run: its `data.json` tells the sizes; nothing is doubted where it is not there.
        image: to be segmented.
    """
    from morula.engine import read_json

    size = image.voxel
    data = read_json(run / "data.json") if (run / "data.json").exists() else {}
    known = [entry["nm"] for entry in data.values() if entry["nm"] is not None]
    if size is None or size.z is None or not known:
        return []
    away = [np.exp(np.abs(np.log(np.divide((size.z, size.y, size.x), nm))).max()) for nm in known]
    if min(away) < _RESIZED:
        return []
    learned = " ".join(f"{edge:g}" for edge in known[int(np.argmin(away))])
    return [
        f"Voxels of {image.uri} are {_nm(size)} nm, but the run was trained at {learned} nm: expect less."
    ]


def _doubts(record: Record, facts: dict[str, Any], network: Network) -> list[str]:
    from morula.tasks.neurons import is_isotropic

    doubts, size = axes_doubts(record.image.spatial_shape, facts["axes"]), record.image.voxel
    cubes, shown = is_isotropic(network, size), is_isotropic(override(network, {"geometry": "auto"}), size)
    if size is None:
        thick = "sections are taken to be thick, and " if network.geometry == "auto" else ""
        doubts.append(f"No voxel size is known: {thick}volumes are in voxels.")
    elif cubes != shown:
        doubts.append(
            f"Voxels of {_nm(size)} nm are {_KINDS[shown]}, but the network takes them for {_KINDS[cubes]}, "
            f"for network.geometry is {network.geometry}; --set network.geometry=auto goes by their size."
        )
    start, stop = facts["block"][0] if facts["labelled"] else (0, record.image.spatial_shape[0])
    if cubes and stop - start < _DEEP:
        what = "labelled block" if facts["labelled"] else "volume"
        doubts.append(f"The {what} is {stop - start} sections deep; {_DEEP} or more show how neurons go on.")
    if facts["gaps"] > _GAPS:
        doubts.append(
            f"{facts['gaps']:.0%} of the box around the labels count as not labelled: a 0 says that there is "
            "no neuron only in narrow gaps between neurons and beside one. Dense blocks teach borders best."
        )
    if facts["labelled"] and facts["neurons"] < _FEW:
        doubts.append(
            f"Only {facts['neurons']} neurons are labelled; ten or more show more kinds of borders."
        )
    return doubts
