"""Kasthuri++: mitochondria of mouse cortex in serial-section SEM, with a border outside the tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Record, Voxel
from morula.data.sets import casser
from morula.data.sets.layout import chosen
from morula.data.sets.public_set import Morphology, PublicSet, SetFile

__all__ = ["SECTIONS", "SET", "VOXEL", "records", "tissue"]

SET = PublicSet(
    name="kasthuri_pp",
    title="Kasthuri++: mitochondria in serial-section SEM of mouse cortex",
    files=(
        SetFile(
            "http://www.casser.io/files/kasthuri_pp.zip",
            "bbb78fd205ec9b57feb8f93ebbdf1666261cbc3e0305e7f11583ab5157a3d792",
            "kasthuri_pp.zip",
        ),
    ),
    licence="not stated; read the terms on the homepage",
    citation="Casser et al., MIDL 2020; Kasthuri et al., Cell 162:648 (2015)",
    homepage="https://sites.google.com/view/connectomics",
    splits=casser.SPLITS,
    notes=(
        "The labels are 255 inside mitochondria and 2 outside the tissue: `kasthuri_pp.tissue` is where "
        "they count. The voxel size of 30 x 3 x 3 nm is UNVERIFIED. torch-em's HDF5 files have the splits "
        "swapped; training has 85 sections and test 75, and another number is refused."
    ),
    morphology=(Morphology("train", 0.004182411757335, tolerance=0.05, growth=0.028086438236661453),),
)

SECTIONS = {"train": 85, "test": 75}
VOXEL = Voxel(z=30.0, y=3.0, x=3.0)

_OUTSIDE = (2, -1)
"""Outside the tissue: 2 in the published images, -1 in torch-em's files."""


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its mitochondria as 0 and 1; `tissue` has where they were drawn.

    Args:
        root: folder of the set, or any folder with the published folders or HDF5 files made of them.
        split: `train` or `test`, as published.

    Raises:
        UsageError: there is no such split.
        DataError: the volume is not there, or has the number of sections of the other split.
    """
    chosen(SET, split)
    record = casser.record(SET, casser.located(SET, root, split), split, VOXEL)
    found = record.image.shape[0]
    if found != SECTIONS[split]:
        what = f"{found} sections, but the {split} split has {SECTIONS[split]}"
        raise DataError(record.image.uri, what, "check whether its splits are swapped, or get the set again")
    return [record]


def tissue(root: Path, split: str) -> Array:
    """Where the labels count: `(z, y, x)` bool, False outside the tissue.

    Raises:
        UsageError: there is no such split.
        DataError: the labels are not there.
    """
    chosen(SET, split)
    _, labels = casser.located(SET, root, split)
    return ~np.isin(casser.stored(labels), _OUTSIDE)
