"""AC3 and AC4: dense neurons of mouse cortex in serial-section SEM, cut out of a larger volume."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Record, Voxel
from morula.data.hdf5 import SUFFIXES
from morula.data.listing import of_kinds, visible
from morula.data.open import open_volume
from morula.data.sets import neurons
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["SET", "VOXEL", "records"]

SET = PublicSet(
    name="ac3_ac4",
    title="AC3 and AC4: neurons in ssSEM of mouse cortex",
    files=(SetFile("https://lichtman.rc.fas.harvard.edu/vast/AC3AC4Package.zip", None, "AC3AC4Package.zip"),),
    licence="not stated here; read the terms on the homepage",
    citation="Kasthuri et al., Cell 162:648 (2015); Berger et al., Front. Neural Circuits 12:88 (2018)",
    homepage="https://lichtman.rc.fas.harvard.edu/vast/",
    splits=("ac3", "ac4"),
    notes=(
        "UNVERIFIED: no checksum is known, and the layout is tested with synthetic files alone. 256 (ac3) "
        "and 100 (ac4) sections of 1024 x 1024 px as PNG; the colour of a label is its number. The files of "
        "labels are numbered from the last section to the first, as those who use them say: look at one "
        "before you trust it. Sections are 29 to 30 nm apart; 30 is used. AC3_inputs and AC3_labels (and "
        "AC4) as TIFF or HDF5, as they are passed on, are read, too. SNEMI3D was made of the same tissue: "
        "do not learn from one and test on the other."
    ),
)

VOXEL = Voxel(z=30.0, y=6.0, x=6.0)

_FOLDERS = {"ac3": ("ac3_EM", "ac3_dbseg_images"), "ac4": ("ac4_EM", "ac4_seg_daniel")}
_STACKS = (".tif", ".tiff", *SUFFIXES)


@dataclass(frozen=True)
class _Coloured:
    """Labels whose number is the colour 0xRRGGBB, black where nothing was labelled."""

    files: tuple[Path, ...]
    shape: tuple[int, ...]

    def __call__(self) -> Array:
        labels = np.empty(self.shape, np.int32)
        for path, section in zip(self.files, labels, strict=True):
            colours = open_volume(path).read().astype(np.int32)
            found = colours if colours.ndim == 2 else (colours[0] << 16) | (colours[1] << 8) | colours[2]
            if found.shape != section.shape:
                raise DataError(path, "labels of another size than the image", "get the set again")
            section[...] = found
        return labels


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its neurons.

    Args:
        root: folder of the set, or any folder with the published folders, or with stacks made of them.
        split: `ac3` or `ac4`.

    Raises:
        UsageError: there is no such split.
        DataError: sections or labels are not there, or not as many of one as of the other.
    """
    chosen(SET, split)
    name = f"{SET.name}_{split}"
    folders = [_folder(root, each) for each in _FOLDERS[split]]
    if folders[0] is None or folders[1] is None:
        stacks = [
            of_kinds(inside(root, f"{split.upper()}_{kind}.*"), _STACKS) for kind in ("inputs", "labels")
        ]
        if not all(stacks):
            raise not_found(
                SET, root, f"folder {_FOLDERS[split][0] if folders[0] is None else _FOLDERS[split][1]}"
            )
        return [neurons.record(name, name, stacks[0][0], stacks[1][0], VOXEL)]
    found = neurons.record(name, name, folders[0], None, VOXEL)
    files = _numbered(folders[1])
    if len(files) != found.image.shape[0]:
        told = f"{len(files)} sections of labels for {found.image.shape[0]} of the image"
        raise DataError(folders[1], told, f"repeat `morula data get {SET.name}`")
    return [replace(found, labels=_Coloured(files, found.image.shape))]


def _folder(root: Path, name: str) -> Path | None:
    return next((path for path in sorted(root.rglob(name)) if path.is_dir()), None)


def _numbered(folder: Path) -> tuple[Path, ...]:
    """The sections by the number in their names, the highest first: it belongs to the first section."""
    found = [path for path in of_kinds(visible(folder), (".png",)) if re.search(r"\d+$", path.stem)]
    return tuple(reversed(found))
