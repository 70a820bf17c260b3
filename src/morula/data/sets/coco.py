"""COCO 2017: photographs of everyday scenes, objects of 80 categories outlined."""

from __future__ import annotations

from os import PathLike
from pathlib import Path, PurePosixPath

from morula.core.errors import DataError
from morula.core.types import Record
from morula.data.coco import CocoImage
from morula.data.reading import check_file, reading
from morula.data.sets.layout import chosen, inside
from morula.data.sets.listed import annotation_file, listed, located, record
from morula.data.sets.public_set import PublicSet, SetFile

__all__ = ["SET", "records"]

_BASE = "https://s3.amazonaws.com/images.cocodataset.org"

SET = PublicSet(
    name="coco",
    title="COCO 2017: common objects in context, instances",
    files=(
        SetFile(
            f"{_BASE}/zips/train2017.zip",
            "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            "train2017.zip",
        ),
        SetFile(
            f"{_BASE}/zips/val2017.zip",
            "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            "val2017.zip",
        ),
        SetFile(
            f"{_BASE}/annotations/annotations_trainval2017.zip",
            "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            "annotations_trainval2017.zip",
        ),
    ),
    licence="annotations CC BY 4.0; each image as its author on Flickr states, in the annotations",
    citation="Lin et al., ECCV 2014",
    homepage="https://cocodataset.org",
    splits=("train2017", "val2017"),
    notes=(
        "About 20 GB. COCO publishes no checksums: those here are from torchvision's source (UNVERIFIED). "
        "Crowd regions are left out, for they are not objects; so are the categories, which "
        "`morula.data.coco.read_coco` has. For a part of the images give `coco.records` a `subset`, a text "
        "file that names them; the others need not be there."
    ),
)


def records(root: Path, split: str, *, subset: str | PathLike[str] | None = None) -> list[Record]:
    """The images of one split with their objects numbered; an image without objects has labels of 0 alone.

    Args:
        root: folder of the set, or any folder with the images and `instances_<split>.json` in it.
        split: `train2017` or `val2017`.
        subset: text file with an image a line, its file name or number; only these are returned, and only
            these need to be there.

    Raises:
        UsageError: there is no such split.
        DataError: annotations or images are not there or damaged, two images have one name, or the subset
            names no image or one that the split does not have.
    """
    chosen(SET, split)
    entries = listed(annotation_file(SET, root, f"instances_{split}.json"))
    if subset is not None:
        entries = _part(Path(subset), entries, split)
    wanted = {key: (entry, (split,)) for key, entry in entries.items()}
    paths = located(SET, root, inside(root, "*.jpg"), wanted)
    return [record(key, paths[key], entries[key], group=key) for key in sorted(entries)]


def _part(path: Path, entries: dict[str, CocoImage], split: str) -> dict[str, CocoImage]:
    check_file(path, "image list")
    with reading(path, "text file"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    numbers = {_number(line): line for line in lines if line}
    part = {key: entry for key, entry in entries.items() if _number(entry.file_name) in numbers}
    unknown = numbers.keys() - {_number(entry.file_name) for entry in part.values()}
    if unknown or not part:
        found = f"{len(unknown)} images that {split} does not have" if unknown else "no image is named"
        found += f" ({min(numbers[each] for each in unknown)})" if unknown else ""
        raise DataError(path, found, f"name images of {split}, one a line")
    return part


def _number(name: str) -> str:
    """COCO's file names are its image numbers with leading zeros."""
    return PurePosixPath(name).stem.lstrip("0")
