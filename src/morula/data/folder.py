"""A folder of images, with or without labels, as checked records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from morula.core.errors import DataError
from morula.core.types import Array, Record, Volume, VoxelSize
from morula.data.listing import of_kinds, visible, what_else
from morula.data.open import IMAGE_SUFFIXES, open_volume
from morula.data.pairing import find_labels
from morula.data.reading import check_file, image_id

__all__ = ["check_unique", "first_of", "list_images", "load_records"]


def list_images(path: str | PathLike[str]) -> list[Path]:
    """The image files of a folder in natural order (`cell2` before `cell10`), or the one file that `path` is.

    Hidden files, subfolders and files of other kinds are left out.

    Raises:
        DataError: no such path, no image in the folder, a file of an unknown kind, or no permission.
    """
    path = Path(path)
    if not path.is_dir():
        check_file(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            found = f"the extension {path.suffix or '(none)'} is not supported"
            raise DataError(path, found, f"save it as one of {', '.join(IMAGE_SUFFIXES)}")
        return [path]
    inside = visible(path)
    images = of_kinds(inside, IMAGE_SUFFIXES)
    if not images:
        raise DataError(path, what_else(inside), f"put {', '.join(IMAGE_SUFFIXES)} images in it")
    return images


def load_records(
    images: str | PathLike[str],
    labels: str | PathLike[str] | None = None,
    *,
    skip_bad: bool = False,
    voxel: VoxelSize = None,
) -> tuple[list[Record], list[DataError]]:
    """Opens all images and labels and reads each once to the last pixel: no later step meets a bad one.

    Args:
        images: an image file or a folder of them.
        labels: None; one label file for one image; a folder of label images or Aperio XML files named like
            the images; a folder with one subfolder of object masks an image; or a COCO JSON file. Images
            without labels stay in as unlabelled records, labels without an image are an error.
        skip_bad: leave bad images out, in place of refusing all.
        voxel: size of a pixel or voxel in nm, in place of what the files say (`Volume.sized`).

    Returns:
        The records in natural order of their files, and the errors of those left out.

    Raises:
        DataError: a bad image (without `skip_bad`), no good one, two of one name, labels that do not fit.
    """
    paths = list_images(images)
    check_unique(paths, image_id)
    openers = find_labels(Path(labels), paths) if labels is not None else {}
    records: list[Record] = []
    errors: list[DataError] = []
    for path in paths:
        try:
            records.append(_record(path, openers, voxel))
        except DataError as error:
            errors.append(error)
    if errors and not (skip_bad and records):
        raise first_of(errors, len(paths)) from errors[0]
    return records, errors


def _record(path: Path, openers: Mapping[str, Callable[[Volume], Array]], voxel: VoxelSize) -> Record:
    image = open_volume(path, voxel=voxel)
    image.read()
    name = image_id(path)
    opener = openers.get(name)
    if opener is None:
        return Record(name, image, group=name)
    labels = _Labels(opener, image)
    labels()
    return Record(name, image, labels, group=name)


class _Labels:
    """Reads the labels of one image; picklable, so that records travel to worker processes."""

    def __init__(self, opener: Callable[[Volume], Array], image: Volume) -> None:
        self._opener, self._image = opener, image

    def __call__(self) -> Array:
        return self._opener(self._image)


def check_unique(paths: Sequence[Path], name: Callable[[Path], str]) -> None:
    """Refuses files that would give records of one name.

    Raises:
        DataError: two files of one name.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(name(path), path)
        if other != path:
            raise DataError(path, f"the same name as {other.name}", "rename or remove one of the two")


def first_of(errors: Sequence[DataError], total: int) -> DataError:
    """The first error, with how many there are and how to go on without the bad images."""
    first = errors[0]
    if len(errors) == total:
        others = f"; none of the {total} images can be used" if total > 1 else ""
        return DataError(first.where, first.found + others, first.fix)
    more = f" (and {len(errors) - 1} more bad of {total})" if len(errors) > 1 else ""
    return DataError(first.where, first.found + more, f"{first.fix}; or leave bad images out with --skip-bad")
