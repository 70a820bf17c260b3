"""BCData: Ki-67 stained breast tumours, 640 x 640 px, a point on each positive and negative tumour cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morula.core.types import Record
from morula.data.open import open_volume
from morula.data.points import Points, read_points_hdf5
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["CLASSES", "SET", "points", "records"]

SET = PublicSet(
    name="bcdata",
    title="BCData: breast tumour cell detection and counting, Ki-67",
    files=(
        SetFile(
            "https://drive.google.com/uc?export=download&id=16W04QOR1E-G3ifc4061Be4eGpjRYDlkA",
            None,
            "BCData.zip",
        ),
    ),
    licence="academic use; read the terms on the homepage",
    citation="Huang et al., MICCAI 2020",
    homepage="https://sites.google.com/view/bcdataset",
    splits=("train", "validation", "test"),
    notes=(
        "No published checksum (UNVERIFIED): the first download is trusted, and its SHA-256 kept to notice a "
        "later change. Labels are points, not masks: records are unlabelled, `bcdata.points` reads them."
    ),
)

CLASSES = ("positive", "negative")


def records(root: Path, split: str) -> list[Record]:
    """The images of one split; `points` has what is marked in them.

    Args:
        root: folder of the set, or any folder that the archive was unpacked into.
        split: `train`, `validation` or `test`.

    Raises:
        UsageError: there is no such split.
        DataError: the images are not there.
    """
    chosen(SET, split)
    images = [path for path in inside(root, "*.png") if path.parent.parts[-2:] == ("images", split)]
    if not images:
        raise not_found(SET, root, f"images/{split}/*.png")
    return [Record(path.stem, open_volume(path), group=path.stem) for path in images]


def points(root: Path, split: str) -> dict[str, Points]:
    """The marked cells of each image of one split, by the record's id.

    Raises:
        UsageError: there is no such split.
        DataError: the annotations are not there, or a file is damaged.
    """
    chosen(SET, split)
    found: dict[str, list[tuple[Path, str]]] = {}
    for path in inside(root, "*.h5"):
        *_, annotations, part, name = path.parent.parts
        if (annotations, part) == ("annotations", split) and name in CLASSES:
            found.setdefault(path.stem, []).append((path, name))
    if not found:
        raise not_found(SET, root, f"annotations/{split}/positive/*.h5")
    return {name: _merged(files) for name, files in found.items()}


def _merged(files: list[tuple[Path, str]]) -> Points:
    places = [(read_points_hdf5(path), name) for path, name in files]
    classes = tuple(name for yx, name in places for _ in range(len(yx)))
    return Points(np.concatenate([yx for yx, _ in places]), classes)
