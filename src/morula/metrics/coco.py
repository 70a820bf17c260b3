"""Average precision of scored objects over a whole data set, as COCO and LIVECell define it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np

__all__ = ["COCO", "LIVECELL", "ApProtocol", "coco_scores"]

_WHOLE = 1e10  # square pixels; no object is larger


class ApProtocol(NamedTuple):
    """What counts in an average precision.

    Attributes:
        detections: how many of the best detections of an image count, rising; for precision it is the last.
        small: area in square pixels up to which an object is small.
        medium: area up to which it is of medium size.
        categories: whether an object is only found by one of its own category.
    """

    detections: tuple[int, ...]
    small: float
    medium: float
    categories: bool


COCO = ApProtocol((1, 10, 100), 32.0**2, 96.0**2, categories=True)
"""Lin et al., ECCV 2014, as evaluated by `pycocotools`."""

LIVECELL = ApProtocol((100, 500, 2000), 18.0**2, 31.0**2, categories=False)
"""Edlund et al., Nature Methods 18:1038 (2021): images hold hundreds of cells, most of them small."""


def coco_scores(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kind: Literal["bbox", "segm"],
    protocol: ApProtocol = COCO,
) -> dict[str, float]:
    """Average precision and recall over all images, the precision averaged over IoU .5, .55 ... .95.

    `AP` is the mean over the thresholds, 101 levels of recall and the categories; `AP50` and `AP75` are those
    of one threshold; `AP_small`, `AP_medium` and `AP_large` count objects of a size; `AR100` is the largest
    recall with 100 detections an image. What has no true object to measure by is -1, as in `pycocotools`.
    Crowd regions are neither found nor missed.

    Args:
        truth: a COCO document: images, annotations (each with `area`; a list, or a dictionary by id),
            categories.
        results: detections as in COCO's result format: `image_id`, `category_id`, `score`, and `bbox`
            (x, y, width, height in pixels) or `segmentation` (a run-length code).
        kind: compares boxes, or masks. A box that is not given is that of the mask; sizes of masks are those
            of the masks, not of boxes given beside them.
        protocol: `COCO` or `LIVECELL`.

    Raises:
        ValueError: a detection is of an image that the truth does not list.

    Source: the summary of `pycocotools.cocoeval`, whose highest number of detections is not fixed to 100
    here.

    >>> box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
    >>> truth = {"images": [{"id": 1, "height": 20, "width": 20}], "categories": [{"id": 1, "name": "cell"}],
    ...          "annotations": [{**box, "id": 1, "area": 100, "iscrowd": 0}]}
    >>> scores = coco_scores(truth, [{**box, "score": 0.5, "bbox": [0, 0, 10, 8]}], "bbox")
    >>> round(scores["AP"], 3), scores["AP75"]  # IoU .8 passes 7 of 10 thresholds
    (0.7, 1.0)
    """
    evaluator: Any = import_module("faster_coco_eval")  # untyped, and slow to load
    known = {image["id"] for image in truth["images"]}
    strange = next((each["image_id"] for each in results if each["image_id"] not in known), None)
    if strange is not None:
        raise ValueError(f"a detection of image {strange!r}, which the truth does not list")
    listed: Mapping[str, dict[str, Any]] | Sequence[dict[str, Any]] = truth["annotations"]
    entries = listed.values() if isinstance(listed, Mapping) else listed
    index: Any = evaluator.COCO({**truth, "annotations": [dict(entry) for entry in entries]})
    found: Any = index.loadRes([_detection(each, kind) for each in results])
    judge: Any = evaluator.COCOeval_faster(index, found, kind)
    judge.params.maxDets = list(protocol.detections)
    judge.params.useCats = int(protocol.categories)
    judge.params.areaRng = [
        [0, _WHOLE], [0, protocol.small], [protocol.small, protocol.medium], [protocol.medium, _WHOLE]
    ]  # fmt: skip
    judge.params.areaRngLbl = ["all", "small", "medium", "large"]
    judge.evaluate()
    judge.accumulate()
    return _summary(judge.eval["precision"], judge.eval["recall"], protocol)


def _detection(result: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The keys that count, so that a mask is not measured by the box beside it."""
    geometry = ("segmentation",) if kind == "segm" or "bbox" not in result else ("bbox",)
    return {key: result[key] for key in ("image_id", "category_id", "score", *geometry)}


def _summary(precision: np.ndarray, recall: np.ndarray, protocol: ApProtocol) -> dict[str, float]:
    """Means of `precision` (threshold, recall, category, size, detections) and `recall`."""
    best = precision[..., -1]
    sizes = ("small", "medium", "large")
    scores = {"AP": best[:, :, :, 0], "AP50": best[0, :, :, 0], "AP75": best[5, :, :, 0]}
    scores |= {f"AP_{name}": best[..., place] for place, name in enumerate(sizes, start=1)}
    scores |= {f"AR{count}": recall[:, :, 0, place] for place, count in enumerate(protocol.detections)}
    scores |= {f"AR_{name}": recall[:, :, place, -1] for place, name in enumerate(sizes, start=1)}
    return {name: _mean(values[values > -1]) for name, values in scores.items()}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else -1.0
