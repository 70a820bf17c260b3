"""What LIVECell and COCO share: a COCO JSON file a split, and the images it names anywhere below a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from morula.core.errors import DataError
from morula.core.types import Record
from morula.data.coco import CocoImage, read_coco
from morula.data.open import open_volume
from morula.data.pairing import coco_labels
from morula.data.sets.layout import inside, not_found
from morula.data.sets.public_set import PublicSet

__all__ = ["annotation_file", "listed", "located", "record"]


def annotation_file(public: PublicSet, root: Path, *names: str) -> Path:
    """The annotation file of a split, under the first of `names` that is anywhere below `root`.

    Raises:
        DataError: it has none of these names.
    """
    for name in names:
        for path in inside(root, name):
            return path
    raise not_found(public, root, f"annotation file {names[0]}")


def listed(path: Path) -> dict[str, CocoImage]:
    """The images that an annotation file names, by the id of their record.

    The id is the file name without its extension, with the folders that it names in front: images of one name
    in different folders stay apart. What is listed twice is one image, with the first entry that has objects.

    Raises:
        DataError: not COCO annotations, or no image has an object.
    """
    entries = read_coco(path, name=_key)
    if not any(entry.segmentations for entry in entries.values()):
        raise DataError(path, "no image has an object", "get the annotations again")
    return entries


def located(
    public: PublicSet,
    root: Path,
    files: Iterable[Path],
    wanted: Mapping[str, tuple[CocoImage, tuple[str, ...]]],
) -> dict[str, Path]:
    """Where each image is.

    Of several files of one name the one counts that lies in most of the folders where it is published.

    Args:
        public: the set.
        root: what to name in an error.
        files: the image files below `root`.
        wanted: of each image its entry, and the folders that it is published in.

    Raises:
        DataError: no image is there, one is missing, or it cannot be told which of two files is meant.
    """
    named: dict[str, list[Path]] = {}
    for path in files:
        named.setdefault(path.name, []).append(path)
    found: dict[str, Path] = {}
    for key, (entry, folders) in wanted.items():
        tail = PurePosixPath(entry.file_name).parts
        there = [path for path in named.get(tail[-1], []) if path.parts[-len(tail) :] == tail]
        if there:
            found[key] = _published(there, folders)
    missing = [entry.file_name for key, (entry, _) in wanted.items() if key not in found]
    if missing and not found:
        raise not_found(public, root, f"image, such as {missing[0]},")
    if missing:
        told = f"{len(missing)} of {len(wanted)} images are missing ({missing[0]})"
        raise DataError(root, told, f"repeat `morula data get {public.name}`")
    return found


def record(key: str, path: Path, entry: CocoImage, *, group: str) -> Record:
    """An image with its objects, which are drawn when they are asked for."""
    image = open_volume(path)
    return Record(key, image, partial(coco_labels, entry, image), group=group)


def _key(file_name: str) -> str:
    return "_".join(PurePosixPath(file_name.strip("/")).with_suffix("").parts)


def _published(paths: list[Path], folders: tuple[str, ...]) -> Path:
    fits = [sum(folder in path.parent.parts for folder in folders) for path in paths]
    best = [path for path, fit in zip(paths, fits, strict=True) if fit == max(fits)]
    if len(best) > 1:
        raise DataError(best[0], f"an image of the same name as {best[1]}", "remove one of the two")
    return best[0]
