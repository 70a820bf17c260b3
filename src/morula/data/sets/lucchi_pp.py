"""Lucchi++: mitochondria of mouse hippocampus in FIB-SEM, the EPFL volume with labels drawn anew."""

from __future__ import annotations

from pathlib import Path

from morula.core.types import Record, Voxel
from morula.data.sets import casser
from morula.data.sets.layout import chosen
from morula.data.sets.public_set import Morphology, PublicSet, SetFile

__all__ = ["SET", "VOXEL", "records"]

SET = PublicSet(
    name="lucchi_pp",
    title="Lucchi++: mitochondria in FIB-SEM of mouse hippocampus",
    files=(
        SetFile(
            "http://www.casser.io/files/lucchi_pp.zip",
            "770ce9e98fc6f29c1b1a250c637e6c5125f2b5f1260e5a7687b55a79e2e8844d",
            "lucchi_pp.zip",
        ),
    ),
    licence="not stated; read the terms on the homepage",
    citation="Casser et al., MIDL 2020; Lucchi et al., IEEE TMI 31:474 (2012)",
    homepage="https://sites.google.com/view/connectomics",
    splits=casser.SPLITS,
    notes=(
        "165 sections in each split. The names of images (mask0010.png) and labels (10.png) pair in natural "
        "order only. torch-em's HDF5 files have the splits swapped; they are recognised by their names."
    ),
    morphology=(Morphology("train", 0.004600387559051737),),
)

VOXEL = Voxel(z=5.0, y=5.0, x=5.0)


def records(root: Path, split: str) -> list[Record]:
    """The one volume of a split, with its mitochondria as 0 and 1.

    Args:
        root: folder of the set, or any folder with the published folders or HDF5 files made of them.
        split: `train` or `test`, as published.

    Raises:
        UsageError: there is no such split.
        DataError: the volume is not there.
    """
    chosen(SET, split)
    return [casser.record(SET, casser.located(SET, root, split), split, VOXEL)]
