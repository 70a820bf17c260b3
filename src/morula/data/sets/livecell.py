"""LIVECell: eight cell types in phase contrast, 520 x 704 px, every cell outlined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from morula.core.types import Record
from morula.data.coco import CocoImage
from morula.data.sets.layout import chosen, inside
from morula.data.sets.listed import annotation_file, listed, located, record
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["CELL_TYPES", "LEFT_OUT", "SET", "cell_type", "records"]

CELL_TYPES = ("A172", "BT474", "BV2", "Huh7", "MCF7", "SHSY5Y", "SkBr3", "SKOV3")

_BASE = "https://livecell-dataset.s3.eu-central-1.amazonaws.com/LIVECell_dataset_2021"
_PARTS = ("train", "val", "test")
_SHARES = (2, 4, 5, 25, 50)


class _Split(NamedTuple):
    """An annotation file: the name that it is kept under, its published place, and the part it is of."""

    name: str
    place: str
    part: str


def _splits() -> dict[str, _Split]:
    names = {
        part: _Split(f"livecell_coco_{part}.json", f"LIVECell/livecell_coco_{part}.json", part)
        for part in _PARTS
    }
    for number, share in enumerate(_SHARES):
        name = f"{number}_train{share}percent.json"
        names[f"train-{share}percent"] = _Split(name, f"LIVECell_dataset_size_split/{name}", "train")
    for each in map(str.lower, CELL_TYPES):
        for part in _PARTS:
            place = f"LIVECell_single_cells/{each}/{part}.json"
            names[f"{each}-{part}"] = _Split(f"{each}_{part}.json", place, part)
    return names


_SPLITS = MappingProxyType(_splits())

_NEARLY_BARE = "nearly no cell is outlined"
_TWICE = "cells are outlined more than once"
LEFT_OUT = MappingProxyType(
    {
        "A172_Phase_D7_1_01d20h00m_1": _NEARLY_BARE,
        "BT474_Phase_B3_1_03d00h00m_3": _NEARLY_BARE,
        "A172_Phase_A7_1_01d04h00m_3": _NEARLY_BARE,
        "SHSY5Y_Phase_D10_1_01d16h00m_4": _NEARLY_BARE,
        "BV2_Phase_D4_1_00d12h00m_2": _NEARLY_BARE,
        "BV2_Phase_C4_1_01d16h00m_3": _NEARLY_BARE,
        "SkBr3_Phase_H3_2_00d00h00m_1": _NEARLY_BARE,
        "BV2_Phase_A4_2_00d00h00m_1": _NEARLY_BARE,
        "BV2_Phase_A4_2_02d04h00m_3": _NEARLY_BARE,
        "A172_Phase_C7_1_00d00h00m_1": _TWICE,
        "A172_Phase_C7_1_00d00h00m_2": _TWICE,
        "A172_Phase_C7_1_00d00h00m_3": _TWICE,
        "A172_Phase_C7_1_00d00h00m_4": _TWICE,
        "A172_Phase_B7_2_00d08h00m_3": _TWICE,
    }
)
"""Images whose outlines are known to be wrong, and how (issues 21 and 30 of the authors' repository)."""

SET = PublicSet(
    name="livecell",
    title="LIVECell: label-free live cells of eight types in phase contrast",
    files=(
        SetFile(f"{_BASE}/images.zip", None, "images.zip"),
        *(SetFile(f"{_BASE}/annotations/{each.place}", None, each.name) for each in _SPLITS.values()),
    ),
    licence="CC BY-NC 4.0",
    citation="Edlund et al., Nature Methods 18:1038 (2021)",
    homepage="https://sartorius-research.github.io/LIVECell",
    splits=tuple(_SPLITS),
    notes=(
        "No published checksums (UNVERIFIED): the first download is trusted, and its SHA-256 kept to notice "
        "a later change. Images 1.3 GB, annotations 2.1 GB; reading an annotation file takes about three "
        "times its size in memory, and those of one cell type are small. train-2percent to train-50percent "
        "are the authors' few-label splits. Left out, unless `livecell.records` is asked for `clean=False`, "
        "are 9 images in which nearly no cell is outlined, 5 in which cells are outlined more than once "
        "(`livecell.LEFT_OUT`), and images of val that are in train, too: scores on test are then not over "
        "all of the authors' images. An image that is listed twice keeps its first outlines; where two cells "
        "overlap, the first has the pixels."
    ),
)


def records(root: Path, split: str, *, clean: bool = True) -> list[Record]:
    """The images of one split with their instance labels; images of one well share a group.

    Images may lie in folders of their cell types, as they are published, or flat. An image without any
    outline is unlabelled, not empty.

    Args:
        root: folder of the set, or any folder with the unpacked images and the annotations in it.
        split: `train`, `val`, `test`; `train-2percent`, also with 4, 5, 25 and 50; or a cell type's part, as
            `a172-train`.
        clean: without the images of `LEFT_OUT`, and without images of `val` that are in `train`, too.

    Raises:
        UsageError: there is no such split.
        DataError: annotations or images are not there or damaged, or two images have one name.
    """
    chosen(SET, split)
    entries = _entries(root, split)
    if clean:
        elsewhere = _entries(root, split.removesuffix("val") + "train") if split.endswith("val") else {}
        entries = {
            key: entry
            for key, entry in entries.items()
            if _stem(entry) not in LEFT_OUT and key not in elsewhere
        }
    folder = f"livecell_{'test' if _SPLITS[split].part == 'test' else 'train_val'}_images"
    wanted = {key: (entry, (folder, cell_type(_stem(entry)))) for key, entry in entries.items()}
    paths = located(SET, root, inside(root, "*.tif"), wanted)
    return [_record(key, paths[key], entries[key]) for key in sorted(entries)]


def cell_type(name: str) -> str:
    """The cell type of an image, to balance a draw of few labels over (`morula.data.budget.few_shot`).

    >>> cell_type("SkBr3_Phase_E3_1_00d00h00m_2")
    'SkBr3'
    """
    return name.split("_", 1)[0]


def _entries(root: Path, split: str) -> dict[str, CocoImage]:
    name, place, _ = _SPLITS[split]
    return listed(annotation_file(SET, root, name, "/".join(place.rsplit("/", 2)[-2:])))


def _stem(entry: CocoImage) -> str:
    return PurePosixPath(entry.file_name).stem


def _record(key: str, path: Path, entry: CocoImage) -> Record:
    well = "_".join(path.stem.split("_")[:3])
    found = record(key, path, entry, group=well)
    return found if entry.segmentations else replace(found, labels=None)
