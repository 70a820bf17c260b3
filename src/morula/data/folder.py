"""From folders to records: every image is checked before anything starts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from morula.core.errors import DataError
from morula.core.types import Array, Record, Volume, Voxel
from morula.data.label_sources import find_labels
from morula.data.open import IMAGE_SUFFIXES, check_pixels, open_volume

__all__ = ["list_images", "load_records", "stem"]


def list_images(path: Path) -> list[Path]:
    """The image itself, or all images of a folder in natural order (2 before 10); hidden files are left out.

    Raises:
        DataError: there is no such path, or no image in it.
    """
    if not path.exists():
        raise DataError(path, "there is no such file or folder", "check the path")
    if path.is_file():
        return [path]
    try:
        files = [
            file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."
        ]
    except PermissionError as error:
        raise DataError(path, "no permission to list the folder", f"allow it: chmod u+rx {path}") from error
    if not files:
        found = f"the folder holds no image (looked for {' '.join(sorted(IMAGE_SUFFIXES))})"
        raise DataError(path, found, "name the folder that the image files are in")
    return sorted(files, key=_natural)


def load_records(
    images: Path, labels: Path | None = None, *, skip_bad: bool = False, voxel: Voxel | None = None
) -> tuple[list[Record], list[DataError]]:
    """Opens and decodes every image, pairs them with their labels, and gives one record each.

    Args:
        images: an image or a folder of images.
        labels: label images with the stems of the images; Aperio XML likewise; a folder per image with one
            PNG per object; or one COCO JSON file. Images without labels are allowed.
        skip_bad: leave bad images out instead of refusing all.
        voxel: size of a pixel in nm, where the files do not say.

    Returns:
        The records in natural order, and what was wrong with the images that were left out.

    Raises:
        DataError: an image or label is bad (see `skip_bad`), two images have one stem, a label has no image,
            or nothing is left.
    """
    files = list_images(images)
    _refuse_twins(files)
    sources = {} if labels is None else find_labels(labels, [stem(file) for file in files])
    records: list[Record] = []
    bad: list[DataError] = []
    for file in files:
        try:
            records.append(_record(file, sources.get(stem(file)), voxel))
        except DataError as error:
            bad.append(error)
    if bad and not (skip_bad and records):
        raise _summary(bad, len(files))
    return records, bad


def stem(path: Path) -> str:
    """The name that pairs an image with its labels: the file's, without suffix and without `.ome`.

    >>> stem(Path("a/cells.ome.tif"))
    'cells'
    """
    return path.name[: -len(path.suffix)].removesuffix(".ome")


def _record(file: Path, labels: Callable[[tuple[int, ...]], Array] | None, voxel: Voxel | None) -> Record:
    image = open_volume(file, voxel=voxel)
    check_pixels(image)
    if labels is None:
        return Record(stem(file), image)
    _check_pair(image, labels(image.spatial_shape))
    return Record(stem(file), image, lambda: labels(image.spatial_shape))


def _check_pair(image: Volume, labels: Array) -> None:
    if labels.shape != image.spatial_shape:
        found = f"the image is {_size(image.spatial_shape)} and its labels are {_size(labels.shape)} pixels"
        raise DataError(image.uri, found, "give labels that were drawn on this very image")


def _refuse_twins(files: Sequence[Path]) -> None:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_stem[stem(file)].append(file)
    for twins in by_stem.values():
        if len(twins) > 1:
            found = f"it has the same stem as {twins[1].name}, so their results would overwrite each other"
            raise DataError(twins[0], found, "rename one of them")


def _summary(bad: Sequence[DataError], count: int) -> DataError:
    if len(bad) == 1 and count > 1:
        return DataError(bad[0].where, bad[0].found, f"{bad[0].fix}; or leave it out with --skip-bad")
    if len(bad) == 1:
        return bad[0]
    others = f"{bad[0].found}; {len(bad) - 1} more of {count} images are bad too, the next is {bad[1].where}"
    fix = bad[0].fix if len(bad) == count else f"{bad[0].fix}; or leave them out with --skip-bad"
    return DataError(bad[0].where, others, fix)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
