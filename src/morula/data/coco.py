"""COCO JSON instance annotations: polygons and run lengths, read into labels and written from labels."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Segmentation
from morula.data.objects import ObjectTable
from morula.data.reading import MAX_PIXELS, image_id, reading

__all__ = ["CocoImage", "coco_document", "encode_rle", "read_coco"]


@dataclass(frozen=True)
class CocoImage:
    """The objects that a COCO file holds for one image.

    Attributes:
        path: the COCO file.
        file_name: the image file it names.
        height: in pixels.
        width: in pixels.
        segmentations: polygons or run lengths of each object, as in the file; the corners of polygons as
            arrays, for as lists they take four times the memory.
        categories: number of the category of each object, as in the file.
    """

    path: Path
    file_name: str
    height: int
    width: int
    segmentations: tuple[Any, ...]
    categories: tuple[int, ...]

    def labels(self) -> Array:
        """Draws the objects into `(y, x)` int32; where two overlap the first in the file wins.

        Raises:
            DataError: a polygon or run-length code that cannot be drawn.
        """
        return self.instances()[0]

    def instances(self) -> tuple[Array, tuple[int, ...]]:
        """`labels`, and the category of each object 1..N in them.

        Raises:
            DataError: a polygon or run-length code that cannot be drawn.
        """
        labels = np.zeros((self.height, self.width), np.int32)
        drawn: list[int] = []
        for segmentation, category in zip(self.segmentations, self.categories, strict=True):
            free = self._mask(segmentation) & (labels == 0)
            if free.any():
                drawn.append(category)
                labels[free] = len(drawn)
        return labels, tuple(drawn)

    def _mask(self, segmentation: Any) -> Array:
        from faster_coco_eval.core import mask

        where = Path(f"{self.path} ({self.file_name})")
        size = [self.height, self.width]
        with reading(where, "COCO segmentation"):
            code: Any = segmentation
            if not isinstance(segmentation, Mapping):
                parts: Any = mask.frPyObjects([_polygon(part) for part in segmentation], *size)
                code = mask.merge(parts)
            elif list(segmentation["size"]) != size:
                raise ValueError(f"a mask of {segmentation['size']} for an image of {size}")
            elif not isinstance(segmentation["counts"], str | bytes):
                code = mask.frPyObjects(
                    {"size": size, "counts": _counts(segmentation["counts"], size)}, *size
                )
            return np.asarray(mask.decode(code)).astype(bool)


def read_coco(path: str | PathLike[str], *, name: Callable[[str], str] = image_id) -> dict[str, CocoImage]:
    """Reads COCO instance annotations, by the stem of each image's file name.

    Crowd regions are left out, for they are not objects. `annotations` may be a list or a dictionary by id.
    An image that is listed twice keeps the first entry that has annotations.

    Args:
        path: the JSON file.
        name: what to call an image by its file name, where stems repeat in different folders.

    Raises:
        DataError: not JSON, no `images` and `annotations`, an entry without the keys it needs, boxes without
            outlines, or annotations of two images of one name.
    """
    path = Path(path)
    with reading(path, "COCO JSON file"):
        document = json.loads(path.read_text(encoding="utf-8"), object_hook=_compact)
    if not isinstance(document, Mapping) or not {"images", "annotations"} <= set(document):
        found = "no `images` and `annotations`"
        raise DataError(path, found, "give COCO instance annotations, in one JSON object")
    try:
        _refuse_boxes(path, document["annotations"])
        segmentations = _by_image(_values(document["annotations"]))
        images = [_image(path, entry, segmentations) for entry in _values(document["images"])]
        named = [(name(image.file_name), image) for image in images]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"an entry that is not COCO ({type(error).__name__}: {error})"
        raise DataError(path, found, "export the annotations again as COCO JSON") from error
    entries: dict[str, CocoImage] = {}
    for key, image in named:
        other = entries.get(key)
        if other is None or not other.segmentations:
            entries[key] = image
        elif image.segmentations and image.file_name != other.file_name:
            found = f"annotations of {other.file_name} and of {image.file_name}, which share a name"
            raise DataError(path, found, "keep the images of one folder in it, or rename one of the two")
    return entries


def encode_rle(labels: Array) -> list[dict[str, Any]]:
    """Run-length codes of objects 1..N of a label image `(y, x)`, each as `{"size": [h, w], "counts": text}`.

    All objects are coded in one pass over the image, so that the cost does not grow with their number.
    """
    from faster_coco_eval.core import mask

    height, width = labels.shape
    flat = labels.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] - 1)) if flat.size else np.zeros(0, np.intp)
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    bounds = np.searchsorted(values[order], np.arange(1, int(flat.max(initial=0)) + 2))
    codes: list[dict[str, Any]] = []
    for first, last in pairwise(bounds):
        runs = order[first:last]
        begin, end = starts[runs], starts[runs] + lengths[runs]
        edges = np.concatenate([[0], np.stack([begin, end], axis=1).ravel(), [flat.size]])
        counts = np.diff(edges).tolist()
        code: Any = mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        codes.append({"size": [height, width], "counts": code["counts"].decode("ascii")})
    return codes


def coco_document(file_name: str, segmentation: Segmentation, table: ObjectTable) -> dict[str, Any]:
    """One image's objects as a COCO document with run lengths and a score for each object.

    Areas and boxes are in pixels, boxes as x, y, width, height.
    """
    height, width = segmentation.labels.shape
    categories = {name: number for number, name in enumerate(sorted(set(segmentation.classes)), start=1)}
    sizes = table.stop - table.start
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": categories[name],
            "segmentation": code,
            "bbox": [int(start[1]), int(start[0]), int(size[1]), int(size[0])],
            "area": int(area),
            "iscrowd": 0,
            "score": round(float(score), 6),
        }
        for number, (name, code, start, size, area, score) in enumerate(
            zip(
                segmentation.classes,
                encode_rle(segmentation.labels),
                table.start,
                sizes,
                table.area,
                segmentation.scores,
                strict=True,
            ),
            start=1,
        )
    ]
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """Packs the polygons of an annotation while the file is read; what is not numbers stays as it is."""
    parts = entry.get("segmentation")
    if isinstance(parts, list):
        with suppress(TypeError, ValueError, OverflowError):
            entry["segmentation"] = [array("d", part) for part in parts]
    return entry


def _values(entries: Any) -> Iterable[Mapping[str, Any]]:
    return entries.values() if isinstance(entries, Mapping) else entries


def _refuse_boxes(path: Path, annotations: Any) -> None:
    """Refuses a file whose annotations are boxes alone: all objects would be lost."""
    boxes = [each for each in _values(annotations) if each.get("bbox") and not each.get("iscrowd")]
    if boxes and not any(each.get("segmentation") for each in boxes):
        found = f"{len(boxes)} annotations with boxes and none with an outline"
        raise DataError(path, found, "export the outlines (`segmentation`), too")


def _by_image(annotations: Iterable[Mapping[str, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for annotation in annotations:
        if not annotation.get("iscrowd") and annotation.get("segmentation"):
            entry = annotation["segmentation"], int(annotation.get("category_id", 1))
            found.setdefault(annotation["image_id"], []).append(entry)
    return found


def _image(path: Path, entry: Mapping[str, Any], segmentations: Mapping[Any, list[Any]]) -> CocoImage:
    height, width = int(entry["height"]), int(entry["width"])
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"an image of {height} x {width} pixels")
    objects = segmentations.get(entry["id"], [])
    shapes, categories = (tuple(each[place] for each in objects) for place in (0, 1))
    return CocoImage(path, str(entry["file_name"]), height, width, shapes, categories)


def _polygon(corners: Sequence[float]) -> list[float]:
    points = [float(value) for value in corners]
    if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon of {len(points)} numbers")
    return points


def _counts(counts: Sequence[int], size: Sequence[int]) -> list[int]:
    if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1]:
        raise ValueError(f"run lengths that add up to {sum(counts)} of {size[0] * size[1]} pixels")
    return list(counts)
