"""MitoEM: mitochondria, each with a number, in large volumes of rat and human cortex."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Record, Volume, Voxel
from morula.data.box import crop
from morula.data.labels import read_labels
from morula.data.listing import of_kinds, visible
from morula.data.open import open_volume
from morula.data.sets.layout import chosen, not_found
from morula.data.sets.public_set import PublicSet, SetFile
from morula.data.volumes import as_stack

__all__ = ["SET", "VOXEL", "records"]

SET = PublicSet(
    name="mitoem",
    title="MitoEM: mitochondria instances in rat (R) and human (H) cortex",
    files=(
        SetFile(
            "https://huggingface.co/datasets/pytc/EM30/resolve/main/EM30-R-im.zip",
            "6a2cac68adde5d01984542d3ee1d7753d1fa3e6eb2a042ce15ce297c95885bbe",
            "EM30-R-im.zip",
        ),
        SetFile(
            "https://huggingface.co/datasets/pytc/MitoEM/resolve/main/EM30-R-mito-train-val-v2.zip",
            "c56380ac575428a818bd293ca3509d1249999846c3702ccbf11d308acdd2ae86",
            "EM30-R-mito-train-val-v2.zip",
        ),
        SetFile(
            "https://www.dropbox.com/s/z41qtu4y735j95e/EM30-H-im.zip?dl=1",
            "98fe259f36a7d8d43f99981b7a0ef8cdeba2ce2615ff91595f428ae57207a041",
            "EM30-H-im.zip",
        ),
        SetFile(
            "https://www.dropbox.com/s/dhf89bc14kemw4e/EM30-H-mito-train-val-v2.zip?dl=1",
            "0e8ed292cfcd0c58701d9f4299244a1b66d6aeb506c85754c34f98a4eda0ef1b",
            "EM30-H-mito-train-val-v2.zip",
        ),
    ),
    licence="not stated; read the terms on the homepage",
    citation="Wei et al., MICCAI 2020",
    homepage="https://mitoem.grand-challenge.org",
    splits=tuple(f"{tissue}-{part}" for tissue in ("rat", "human") for part in ("train", "val", "test")),
    notes=(
        "1000 sections of 4096 x 4096 px a tissue: 400 for training, 100 for validation, 500 without labels. "
        "Labels are read whole, 26 GB for a training part: ask `mitoem.records` for some `sections` of it."
    ),
)

VOXEL = Voxel(z=30.0, y=8.0, x=8.0)

_LETTER = {"rat": "R", "human": "H"}


@dataclass(frozen=True)
class _Instances:
    files: tuple[Path, ...]
    shape: tuple[int, ...]

    def __call__(self) -> Array:
        sections = [read_labels(path) for path in self.files]
        odd = [path for path, each in zip(self.files, sections, strict=True) if each.shape != self.shape[1:]]
        if odd:
            raise DataError(odd[0], "labels of another size than the image", "get the set again")
        return np.stack(sections)


def records(root: Path, split: str, *, sections: slice = slice(None)) -> list[Record]:
    """The one volume of a split, with numbered mitochondria where there are any.

    Labels belong to the image of the same number (`seg0400.tif` to `im0400.png`); images after the last
    label are the test part.

    Args:
        root: folder of the set: each archive unpacked into a folder of its own.
        split: `rat-train`, `rat-val`, `rat-test`, and the same of `human`.
        sections: which of the sections of the split, in steps of 1.

    Raises:
        UsageError: there is no such split.
        DataError: images or labels are not there, or do not belong together.
    """
    chosen(SET, split)
    tissue, _, part = split.partition("-")
    images = _numbered(root, tissue, "im")
    if part == "test":
        last = max(_numbered(root, tissue, "mito-val-v2"))
        numbers = [number for number in images if number > last][sections]
        return [Record(split, _sections(images, numbers), group=f"{SET.name}_{tissue}")]
    labels = _numbered(root, tissue, f"mito-{part}-v2")
    numbers = list(labels)[sections]
    image = _sections(images, numbers)
    opener = _Instances(tuple(labels[number] for number in numbers), image.shape)
    return [Record(split, image, opener, group=f"{SET.name}_{tissue}")]


def _numbered(root: Path, tissue: str, name: str) -> dict[int, Path]:
    """The sections of a folder by the number in their names, ascending."""
    archives = [path for path in root.rglob(f"EM30-{_LETTER[tissue]}-*") if path.is_dir()]
    folders = sorted(path for archive in archives for path in archive.rglob(name) if path.is_dir())
    if not folders:
        raise not_found(SET, root, f"folder {name} of {tissue}")
    found = {
        int(match[1]): path
        for path in of_kinds(visible(folders[0]), (".png", ".tif"))
        if (match := re.search(r"(\d+)$", path.stem))
    }
    if not found:
        raise not_found(SET, root, f"sections in {name} of {tissue}")
    return dict(sorted(found.items()))


def _sections(images: dict[int, Path], numbers: list[int]) -> Volume:
    """The images of consecutive numbers as one volume."""
    folder = next(iter(images.values())).parent
    missing = [number for number in numbers if number not in images]
    if missing or not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        found = f"no image of section {missing[0]}" if missing else "sections that do not follow each other"
        raise DataError(folder, found, f"repeat `morula data get {SET.name}`")
    start = list(images).index(numbers[0])
    whole = replace(as_stack(open_volume(folder)), voxel=VOXEL)
    return crop(whole, (slice(start, start + len(numbers)), slice(None), slice(None)))
