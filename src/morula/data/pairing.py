"""Which labels belong to which image: files of one name, folders of object masks, or a COCO file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from morula.core.errors import DataError, times
from morula.core.types import Array, Volume
from morula.data.aperio import read_aperio
from morula.data.coco import CocoImage, read_coco
from morula.data.labels import predicted_labels, read_labels
from morula.data.open import IMAGE_SUFFIXES
from morula.data.reading import check_file, image_id

__all__ = ["coco_labels", "find_labels", "read_object_masks"]

Opener = Callable[[Volume], Array]
"""Reads the labels `(y, x)` or `(z, y, x)` of the image that is given, and refuses another size."""


@dataclass(frozen=True)
class _LabelFile:
    """Labels in an image file or Aperio XML, as large as their image."""

    path: Path

    def __call__(self, image: Volume) -> Array:
        if self.path.suffix.lower() == ".xml":
            return read_aperio(self.path, _plane(self.path, image))
        labels = read_labels(self.path)
        _check_shape(self.path, labels.shape, image)
        return labels


@dataclass(frozen=True)
class _MaskFolder:
    """One PNG or TIFF mask for each object."""

    masks: tuple[Path, ...]

    def __call__(self, image: Volume) -> Array:
        folder = self.masks[0].parent
        return read_object_masks(self.masks, _plane(folder, image))


def coco_labels(entry: CocoImage, image: Volume) -> Array:
    """Draws the objects that a COCO file holds for `image`, `(y, x)` int32.

    Raises:
        DataError: the file says another size than that of the image, or an object cannot be drawn.
    """
    _check_shape(f"{entry.path} ({entry.file_name})", (entry.height, entry.width), image)
    return entry.labels()


def find_labels(labels: Path, images: Sequence[Path]) -> dict[str, Opener]:
    """What opens the labels of each image, by the image's id; images without labels are left out.

    So are those that a COCO file lists without an object, as long as others have one.

    Args:
        labels: a label file for the one image, a folder paired by name, or a COCO JSON file.
        images: the image files.

    Raises:
        DataError: nothing there, two label files with one name, or labels that no image belongs to.
    """
    names = [image_id(path) for path in images]
    if labels.is_dir():
        openers = _in_folder(labels)
    elif labels.suffix.lower() == ".json":
        check_file(labels, "COCO JSON")
        entries = read_coco(labels)
        drawn = {name: each for name, each in entries.items() if each.segmentations}
        entries = drawn or entries  # tools list all images of a project, drawn or not
        openers: dict[str, Opener] = {name: partial(coco_labels, each) for name, each in entries.items()}
    elif len(images) == 1:
        check_file(labels, "label")
        return {names[0]: _LabelFile(labels)}
    else:
        check_file(labels, "label")
        found = f"one label file for {len(images)} images"
        raise DataError(labels, found, "name a folder with one label file an image, or a COCO JSON file")
    _check_images(labels, openers, names)
    return openers


def read_object_masks(masks: Sequence[Path], shape: tuple[int, int]) -> Array:
    """Merges one mask image an object into labels `(y, x)` int32; where masks overlap the first wins.

    Args:
        masks: the mask files, non-zero inside the object.
        shape: height and width that every mask must have.

    Raises:
        DataError: a mask is unreadable or of another size.
    """
    labels = np.zeros(shape, np.int32)
    number = 0
    for path in masks:
        mask = read_labels(path) > 0
        if mask.shape != shape:
            found = f"a mask of {times(mask.shape)} for an image of {times(shape)}"
            raise DataError(path, found, "export the mask again at the size of the image")
        free = mask & (labels == 0)
        if free.any():
            number += 1
            labels[free] = number
    return labels


def _in_folder(folder: Path) -> dict[str, Opener]:
    openers: dict[str, Opener] = {}
    sources: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        opener = _opener(path)
        if opener is None:
            continue
        name = path.name if path.is_dir() else image_id(path)
        if name in openers:
            raise DataError(path, f"labels for {name}, as in {sources[name].name}", "remove one of the two")
        openers[name], sources[name] = opener, path
    if not openers:
        found = "no label images, Aperio XML files or mask folders"
        raise DataError(folder, found, "put one label file an image in it, named like the image")
    return openers


def _opener(path: Path) -> Opener | None:
    if path.name.startswith((".", "__MACOSX")):
        return None
    if path.is_dir():
        if (numbered := predicted_labels(path)).is_file():  # a prediction that somebody corrected
            return _LabelFile(numbered)
        inside = path / "masks" if (path / "masks").is_dir() else path
        masks = tuple(sorted(p for p in inside.iterdir() if _is_mask(p)))
        return _MaskFolder(masks) if masks else None
    return _LabelFile(path) if _is_mask(path) or path.suffix.lower() == ".xml" else None


def _is_mask(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _check_images(labels: Path, openers: Mapping[str, Opener], names: Sequence[str]) -> None:
    orphans = sorted(set(openers) - set(names))
    if orphans:
        found = f"labels without an image: {', '.join(orphans[:3])}"
        found += f" and {len(orphans) - 3} more" if len(orphans) > 3 else ""
        fix = "name each label file like its image (a.png with a.tif), or move the others away"
        raise DataError(labels, found, fix)


def _check_shape(where: Path | str, shape: tuple[int, ...], image: Volume) -> None:
    if shape != image.spatial_shape:
        found = f"labels of {times(shape)}, but the image {image.uri} is {times(image.spatial_shape)}"
        raise DataError(where, found, "give labels of the same size as the image")


def _plane(where: Path, image: Volume) -> tuple[int, int]:
    if len(image.spatial_shape) != 2:
        found = f"2D labels, but the image {image.uri} is {times(image.spatial_shape)}"
        raise DataError(where, found, "give a label stack of the same size as the image")
    return image.spatial_shape[0], image.spatial_shape[1]
