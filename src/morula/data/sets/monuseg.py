"""MoNuSeg: H&E tiles of seven organs at 40x, 1000 x 1000 px, every nucleus outlined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morula.core.errors import DataError
from morula.core.types import Array, Record
from morula.data.aperio import read_aperio
from morula.data.open import open_volume
from morula.data.sets.layout import chosen, inside, not_found
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["CLASSIC_TRAIN", "SET", "records"]

_DRIVE = "https://drive.google.com/uc?export=download&id="

SET = PublicSet(
    name="monuseg",
    title="MoNuSeg 2018: multi-organ nucleus segmentation",
    files=(
        SetFile(
            f"{_DRIVE}1ZgqFJomqQGNnsx7w7QBzQQMVA16lbVCA",
            "25d3d3185bb2970b397cafa72eb664c9b4d24294aee382e7e3df9885affce742",
            "MoNuSeg 2018 Training Data.zip",
        ),
        SetFile(
            f"{_DRIVE}1NKkSQ5T0ZNQ8aUhh0a8Dt2YKYCQXIViw",
            "13e522387ae8b1bcc0530e13ff9c7b4d91ec74959ef6f6e57747368d7ee6f88a",
            "MoNuSegTestData.zip",
        ),
    ),
    licence="CC BY-NC-SA 4.0 (check it on the homepage)",
    citation="Kumar et al., IEEE TMI 36:1550 (2017); Kumar et al., IEEE TMI 39:1380 (2020)",
    homepage="https://monuseg.grand-challenge.org/Data",
    splits=("train", "test"),
    notes="The training archive holds 37 tiles; papers train on the classic 30, which is the default here.",
)

_PRIMARY = (
    "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A1B5 E2-A14V B0-5711 HE-7128 HE-7129 HE-7130 B0-5710 B0-5698 "
    "18-5592 38-6178 49-4488 50-5931 21-5784 21-5786 G9-6336 G9-6348 G9-6356 G9-6363 CH-5767 G9-6362"
)
CLASSIC_TRAIN: tuple[str, ...] = (
    *(f"TCGA-{case}-01Z-00-DX1" for case in _PRIMARY.split()),
    "TCGA-DK-A2I6-01A-01-TS1",
    "TCGA-G2-A2EK-01A-02-TSB",
    "TCGA-AY-A8YK-01A-01-TS1",
    "TCGA-NH-A8F7-01A-01-TS1",
    "TCGA-KB-A93J-01A-01-TS1",
    "TCGA-RD-A8N9-01A-01-TS1",
)
"""The 30 training tiles of 2017 that papers report on; the archive of 2018 has 7 more."""


@dataclass(frozen=True)
class _Outlines:
    path: Path
    shape: tuple[int, int]

    def __call__(self) -> Array:
        return read_aperio(self.path, self.shape)


def records(root: Path, split: str, *, classic: bool = True) -> list[Record]:
    """The tiles of one split with their instance labels; tiles of one patient share a group.

    Args:
        root: folder of the set, or any folder that the archives were unpacked into.
        split: `train` or `test`.
        classic: of the training tiles only the 30 of `CLASSIC_TRAIN`.

    Raises:
        UsageError: there is no such split.
        DataError: the tiles are not there, a tile has no outlines, or one of the classic 30 is missing.
    """
    chosen(SET, split)
    tiles = [path for path in inside(root, "*.tif") if _is_train(path) == (split == "train")]
    if not tiles:
        raise not_found(SET, root, f"{split} tiles (*.tif)")
    if split == "train" and classic:
        named = {path.stem: path for path in tiles}
        missing = [name for name in CLASSIC_TRAIN if name not in named]
        if missing:
            found = f"{len(missing)} of the 30 training tiles are missing ({missing[0]})"
            raise DataError(root, found, f"repeat `morula data get {SET.name}`")
        tiles = [named[name] for name in sorted(CLASSIC_TRAIN)]
    outlines = {path.stem: path for path in inside(root, "*.xml") if _is_train(path) == (split == "train")}
    return [_record(tile, outlines) for tile in tiles]


def _is_train(path: Path) -> bool:
    """Training tiles lie in `Tissue Images` and `Annotations`, test tiles flat in one folder."""
    return path.parent.name in {"Tissue Images", "Annotations"}


def _record(tile: Path, outlines: dict[str, Path]) -> Record:
    if tile.stem not in outlines:
        raise DataError(tile, "no outlines of this name (*.xml)", f"repeat `morula data get {SET.name}`")
    image = open_volume(tile)
    height, width = image.spatial_shape
    return Record(tile.stem, image, _Outlines(outlines[tile.stem], (height, width)), group=tile.stem[:12])
