"""COCO JSON: masks as polygons or run lengths, in and out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask

from morula.core.errors import DataError
from morula.core.types import Array

__all__ = ["encode_rle", "load_coco", "rasterise", "read_coco"]


def load_coco(path: Path) -> dict[str, Any]:
    """A COCO file with `annotations` as a list (some files hold a dictionary keyed by id).

    Raises:
        DataError: it is not JSON, or lacks images or annotations.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(path, f"this is not valid JSON ({error})", "export it again") from error
    if not isinstance(found, dict) or not {"images", "annotations"} <= found.keys():
        raise DataError(path, "there are no keys images and annotations", "give a COCO instances file")
    annotations = found["annotations"]
    found["annotations"] = list(annotations.values()) if isinstance(annotations, dict) else annotations
    return found


def read_coco(path: Path, stems: Sequence[str]) -> dict[str, Callable[[tuple[int, ...]], Array]]:
    """Stem -> what draws its labels, for the images of these stems; crowds are left out.

    An image that is listed twice under different ids has the annotations of both, each once.

    Raises:
        DataError: the file is no COCO file, or names none of the images.
    """
    found = load_coco(path)
    names = {image["id"]: _stem(image["file_name"]) for image in found["images"]}
    shapes: dict[str, dict[str, Any]] = defaultdict(dict)
    for annotation in found["annotations"]:
        name = names.get(annotation["image_id"])
        if name in stems and not annotation.get("iscrowd", 0):
            shapes[name].setdefault(json.dumps(annotation["segmentation"], sort_keys=True), annotation)
    known = set(names.values()) & set(stems)
    if not known:
        raise DataError(path, "it names none of the images", "check that file_name fits the images' names")
    return {name: partial(_draw, path, list(shapes[name].values())) for name in known}


def rasterise(path: Path, segmentation: Any, shape: tuple[int, ...]) -> Array:
    """One mask `(y, x)` bool from polygons, or from run lengths (compressed or not).

    Raises:
        DataError: it is neither.
    """
    height, width = shape
    try:
        if isinstance(segmentation, list):
            runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            runs = coco_mask.frPyObjects(segmentation, *segmentation["size"])
        else:
            runs = segmentation
        return coco_mask.decode(runs).astype(bool)
    except (KeyError, TypeError, ValueError) as error:
        found = f"a segmentation is neither polygons nor run lengths ({error})"
        raise DataError(path, found, "export it again") from error


def encode_rle(mask: Array, top: int, left: int, shape: tuple[int, int]) -> dict[str, Any]:
    """COCO's compressed run lengths of a small mask placed in a large image.

    Args:
        mask: `(h, w)` bool.
        top: row of its first pixel in the image.
        left: column of its first pixel in the image.
        shape: of the image, `(y, x)`.
    """
    # Column-major runs of the crop, shifted to their place in the image.
    columns, rows = np.nonzero(mask.T)
    flat = (columns + left) * shape[0] + rows + top
    breaks = np.flatnonzero(np.diff(flat) > 1)
    starts, stops = flat[np.r_[0, breaks + 1]], flat[np.r_[breaks, len(flat) - 1]] + 1
    edges = np.column_stack([starts, stops]).ravel()
    counts = np.diff(np.r_[0, edges, shape[0] * shape[1]])
    runs = coco_mask.frPyObjects({"size": list(shape), "counts": counts.tolist()}, *shape)
    text = runs["counts"]
    return {"size": list(shape), "counts": text.decode("ascii") if isinstance(text, bytes) else text}


def _draw(path: Path, annotations: Sequence[dict[str, Any]], shape: tuple[int, ...]) -> Array:
    labels = np.zeros(shape, dtype=np.int32)
    number = 0
    for annotation in annotations:
        mask = rasterise(path, annotation["segmentation"], shape)
        if mask.shape != labels.shape:
            found = f"a mask is {mask.shape} pixels and the image {labels.shape}"
            raise DataError(path, found, "give the annotations of these very images")
        free = mask & (labels == 0)
        if free.any():
            number += 1
            labels[free] = number
    return labels


def _stem(file_name: str) -> str:
    return PurePosixPath(file_name.replace("\\", "/")).stem.removesuffix(".ome")
