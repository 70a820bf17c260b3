"""BigNeuron gold166: single neurons in light microscopy from many labs, each traced by several annotators."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, MorulaError, UsageError
from morula.core.types import Array, ArraySource, Axes, Record, Volume, Voxel
from morula.data import tiff, vaa3d
from morula.data.box import bounding_box
from morula.data.listing import of_kinds, visible
from morula.data.open import open_volume, read_header
from morula.data.sets.layout import inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile
from morula.data.swc import SUFFIXES
from morula.data.traced import trace_inside

__all__ = ["SET", "load", "records"]

_LABS = (
    "e_checked6_chick_uw",
    "e_checked6_zebrafish_larve_RGC_UW",
    "e_checked7_utokyo_fly",
    "p_checked6_frog_scrippts",
    "p_checked6_fruitfly_larvae_gmu",
    "p_checked6_human_allen_confocal",
    "p_checked6_human_allen_confocal_independent_trial2_haru",
    "p_checked6_human_culturedcell_Cambridge_in_vitro_confocal_GFP",
    "p_checked6_janelia_flylight_part2",
    "p_checked6_mouse_RGC_uw",
    "p_checked6_mouse_culturedcell_Cambridge_in_vivo_2_photon_PAGFP",
    "p_checked6_mouse_korea",
    "p_checked6_mouse_tufts",
    "p_checked6_mouse_ugoettingen",
    "p_checked6_silkmoth_utokyo",
    "p_checked6_zebrafish_adult_RGC_UW",
    "p_checked6_zebrafish_horizontal_cells_UW",
    "p_checked7_janelia_flylight_part1",
    "p_checked7_taiwan_flycirciut",
)

SET = PublicSet(
    name="bigneuron",
    title="BigNeuron gold166: single neurons of many species and labs with consensus traces",
    files=(SetFile("https://zenodo.org/record/168168/files/gold166.zip", None, "gold166.zip"),),
    licence="not stated here; read the terms on the homepage",
    citation="Peng et al., Neuron 87:252 (2015); Manubens-Gil et al., Nature Methods 20:824 (2023)",
    homepage="https://zenodo.org/record/168168",
    splits=("all", *_LABS),
    notes=(
        "UNVERIFIED: no checksum is known. About 19 GB. Each image has a folder in the folder of its lab; a "
        "split is a lab, and any other folder of images may be named, too. Of several stacks the one with "
        "the most voxels is taken, of several traces the consensus; channels become one by their maximum. "
        "Voxel sizes are in text files, if at all."
    ),
)

_STACKS = (*vaa3d.SUFFIXES, *tiff.SUFFIXES)
_SIZES = {  # x, y, z in micrometres, where the labs' files say nothing
    "p_checked6_human_culturedcell_Cambridge_in_vitro_confocal_GFP": (0.497, 0.497, 0.54),
    "p_checked6_janelia_flylight_part2": (0.38, 0.38, 0.38),
    "p_checked6_silkmoth_utokyo": (0.62, 0.62, 1.44),
    "p_checked6_zebrafish_adult_RGC_UW": (0.21, 0.21, 0.25),
    "p_checked6_zebrafish_horizontal_cells_UW": (0.07, 0.07, 0.25),
    "p_checked7_janelia_flylight_part1": (0.38, 0.38, 0.38),
    "p_checked7_taiwan_flycirciut": (0.32, 0.32, 1.0),
}
_RANKS = ("consensus", "gold", "sorted", "stamp")
_SIZE_WORDS = re.compile(r"pixel|voxel|size|resolution|spacing", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![A-WYZa-wyz0-9.])(?:\d+\.?\d*|\.\d+)(?=\s*(?:[uµμ]m|nm|[x×]|mic|nano|[^\w.]|\.?$))"
)
_NANOMETRES = re.compile(r"\d\s*nm|\bnm\b|nanomet", re.IGNORECASE)
_NO_MICROMETRES = 50.0  # no voxel of a light microscope is so long, in micrometres


def records(root: Path, split: str) -> list[Record]:
    """The images of a lab, or of all, with their traces; those whose files do not fit are left out.

    `load` tells what is wrong with these.

    Args:
        root: folder of the set, or any folder with `<lab>/<image>/` in it.
        split: `all`, or the name of a lab's folder.

    Raises:
        UsageError: there is no such lab.
        DataError: there is no image, or none can be used.
    """
    found, errors = load(root, split, skip_bad=True)
    if not found:
        raise errors[0]
    return found


def load(root: Path, split: str, *, skip_bad: bool = False) -> tuple[list[Record], list[MorulaError]]:
    """As `records`, with the errors of the images that were left out.

    Args:
        root: folder of the set, or any folder with `<lab>/<image>/` in it.
        split: `all`, or the name of a lab's folder.
        skip_bad: leave out what cannot be used, in place of refusing all.

    Returns:
        The records, `trace` giving the tree in voxels; and the errors.

    Raises:
        UsageError: there is no such lab, or a trace may be in micrometres of voxels of unknown size.
        DataError: there is no image; a folder holds a trace without a stack; a stack, a trace or a voxel
            size cannot be read; a trace leaves its stack.
    """
    folders = sorted({path.parent for suffix in SUFFIXES for path in inside(root, f"*{suffix}")})
    if not folders:
        raise not_found(SET, root, "folder <lab>/<image> with an SWC file")
    labs = sorted({folder.parent.name for folder in folders})
    if split != "all" and split not in labs:
        if split in SET.splits:
            raise not_found(SET, root, f"image of {split}")
        raise UsageError(split, f"no such split of {SET.name}", f"choose one of all, {', '.join(labs)}")
    found: list[Record] = []
    errors: list[MorulaError] = []
    for folder in folders:
        if split not in ("all", folder.parent.name):
            continue
        try:
            found.append(_record(folder))
        except (DataError, UsageError) as error:
            if not skip_bad:
                raise
            errors.append(error)
    return found, errors


def _record(folder: Path) -> Record:
    files = visible(folder)
    stacks, traces = of_kinds(files, _STACKS), of_kinds(files, SUFFIXES)
    if not stacks:
        kinds = ", ".join(_STACKS)
        raise DataError(folder, f"{traces[0].name}, but no stack ({kinds})", "unpack the archive again")
    path = max(stacks, key=lambda each: prod(read_header(each).shape))
    image = _one_channel(open_volume(path))
    if image.shape[0] < 2:
        raise DataError(path, "a single section, no stack", "unpack the archive again")
    if (size := _voxel(folder)) is not None:
        image = replace(image, voxel=size)
    trace = trace_inside(min(reversed(traces), key=_rank), image)
    return Record(f"{folder.parent.name}_{folder.name}", image, trace=trace)


def _rank(path: Path) -> int:
    """Better traces first; of the same kind the last by name, which is the latest stamp."""
    name = path.name.lower()
    return next((rank for rank, word in enumerate(_RANKS) if word in name), len(_RANKS))


@dataclass(frozen=True)
class _Brightest:
    """A source with channels, seen as the maximum of them."""

    source: ArraySource

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape)[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.source.dtype)

    def __getitem__(self, key: Any, /) -> Array:
        boxed = bounding_box(key, self.shape)
        box, rest = boxed if boxed is not None else ((...,), key)
        return np.asarray(self.source[(slice(None), *box)]).max(axis=0)[rest]


def _one_channel(volume: Volume) -> Volume:
    if volume.axes.spatial != "zyx":
        raise DataError(volume.uri, "a single section, no stack", "unpack the archive again")
    if not volume.axes.has_channels:
        return volume
    return replace(volume, source=_Brightest(volume.source), axes=Axes("zyx"), channels=("grey",))


def _voxel(folder: Path) -> Voxel | None:
    """The size that a text beside the stack says, else one beside the lab's images, else what is known."""
    for place in (folder, folder.parent):
        texts = of_kinds(visible(place), (".txt",))
        for path in sorted(texts, key=lambda each: not _SIZE_WORDS.search(each.name)):
            size = _size_in(path)
            if size is not None:
                return size
            if _SIZE_WORDS.search(path.name):
                found = f"no three lengths in {path.read_text(errors='replace').strip()[:60]!r}"
                raise DataError(path, found, "write x, y and z of a voxel in it, such as 0.2 0.2 1 um")
    known = _SIZES.get(folder.parent.name)
    return None if known is None else _nanometres(known, 1000.0)


def _size_in(path: Path) -> Voxel | None:
    """Three lengths, x, y, z, in a text: in nm if it says so or if they are too long for micrometres.

    In a file that is named after them the first three numbers count, in others there must be no more.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    numbers = [float(number) for number in _NUMBER.findall(text)]
    lengths = numbers[:3]
    if len(lengths) < 3 or min(lengths) <= 0 or (len(numbers) > 3 and not _SIZE_WORDS.search(path.name)):
        return None
    is_nm = _NANOMETRES.search(text) or max(lengths) > _NO_MICROMETRES
    return _nanometres(lengths, 1.0 if is_nm else 1000.0)


def _nanometres(lengths: tuple[float, ...] | list[float], unit: float) -> Voxel:
    x, y, z = (round(length * unit, 6) for length in lengths)
    return Voxel(z=z, y=y, x=x)
