"""Where labels come from: label images, polygons, one PNG per object, COCO JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array
from morula.data.aperio import read_aperio
from morula.data.coco import read_coco
from morula.data.labels import read_labels
from morula.data.open import IMAGE_SUFFIXES, open_volume

__all__ = ["LabelSource", "find_labels", "read_masks"]

LabelSource = Callable[[tuple[int, ...]], Array]


def find_labels(path: Path, stems: Sequence[str]) -> dict[str, LabelSource]:
    """Stem -> what reads its labels, given the image's size.

    Raises:
        DataError: there is nothing there, two labels for one image, or a label without an image.
    """
    if not path.exists():
        raise DataError(path, "there is no such file or folder", "check the path given to --labels")
    if path.is_file() and path.suffix.lower() == ".json":
        return read_coco(path, stems)
    if path.is_file():
        return {stems[0]: _source(path)} if len(stems) == 1 else _refuse_one_for_many(path, len(stems))
    sources: dict[str, LabelSource] = {}
    for entry in sorted(path.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        name = entry.name if entry.is_dir() else entry.name[: -len(entry.suffix)].removesuffix(".ome")
        if entry.is_file() and entry.suffix.lower() not in IMAGE_SUFFIXES | {".xml"}:
            continue
        if name not in stems:
            raise DataError(entry, "there is no image of this stem", "add the image, or take the label out")
        if name in sources:
            raise DataError(entry, f"there are two labels for image {name}", "keep one of them")
        sources[name] = _source(entry)
    if not sources:
        raise DataError(path, "the folder holds no labels", "name the folder that the label images are in")
    return sources


def read_masks(folder: Path) -> Array:
    """Labels `(y, x)` from one binary image per object, in `folder/masks` or in `folder`; the first wins.

    Raises:
        DataError: there are no masks, or their sizes differ.
    """
    inner = folder / "masks" if (folder / "masks").is_dir() else folder
    files = sorted(file for file in inner.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(inner, "the folder holds no masks", "put one PNG per object into it")
    labels: Array | None = None
    for number, file in enumerate(files, start=1):
        mask = open_volume(file).read()
        mask = (mask.max(axis=0) if mask.ndim == 3 else mask) > 0
        if labels is None:
            labels = np.zeros(mask.shape, dtype=np.int32)
        if mask.shape != labels.shape:
            raise DataError(
                file, f"its size {mask.shape} is not that of {files[0].name}", "export the masks again"
            )
        labels[mask & (labels == 0)] = number
    assert labels is not None
    return labels


def _source(path: Path) -> LabelSource:
    if path.is_dir():
        return lambda _: read_masks(path)
    if path.suffix.lower() == ".xml":
        return lambda shape: read_aperio(path, shape)
    return lambda _: read_labels(path)


def _refuse_one_for_many(path: Path, count: int) -> dict[str, LabelSource]:
    raise DataError(path, f"this is one label image for {count} images", "name a folder of labels")
