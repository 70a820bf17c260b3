"""Average precision of COCO results, or of a run's predictions, against a COCO file of the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morula.core.errors import DataError
from morula.data.reading import check_file, image_id, reading
from morula.metrics import COCO, LIVECELL, coco_scores

__all__ = ["evaluate_coco", "is_run"]

_PROTOCOLS = {"coco": COCO, "livecell": LIVECELL}


def is_run(folder: Path) -> bool:
    """Whether it is a run, which predicts all images though some may have a truth."""
    return (folder / "run.json").exists()


def evaluate_coco(pred: Path, truth: Path) -> dict[str, Any]:
    """Scores of boxes and masks as COCO and as LIVECell have them.

    Args:
        pred: detections in COCO's result format (a JSON list), a COCO document whose annotations have scores,
            or a run or folder with `<stem>/coco.json`; the images of documents are found by their stem, and
            all their objects count as one category. Of a run the images that the truth lists are scored.
        truth: a COCO document.

    Returns:
        `bbox` and `segm` (`morula.metrics.coco_scores`; without masks in the predictions no `segm`) as COCO
        has them, the same under `livecell`, and the number of `images`, of `objects` in the truth and of
        `detections`.

    Raises:
        DataError: a file is missing, unreadable, or no COCO; a detection is of an image that the truth does
            not list; or a run has not predicted an image that it lists.
    """
    document = _truth(truth)
    content = None if pred.is_dir() else _json(pred)
    if isinstance(content, list):
        results: list[dict[str, Any]] = content
    else:  # documents number their categories by names of their own
        document = _one_category(document)
        results = _collected(pred, content, _numbers(truth, document))
    table: dict[str, dict[str, dict[str, float]]] = {}
    with reading(pred, "set of COCO detections of the images of the truth"):
        kinds = ("bbox", "segm") if all("segmentation" in each for each in results) else ("bbox",)
        for name, protocol in _PROTOCOLS.items():
            table[name] = {kind: coco_scores(document, results, kind, protocol) for kind in kinds}
    return {
        **table["coco"],
        "livecell": table["livecell"],
        "images": len(document["images"]),
        "objects": len(document["annotations"]),
        "detections": len(results),
    }


def _numbers(truth: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """The number of each image by its stem, which no two may share."""
    with reading(truth, "COCO document"):
        numbers = {image_id(image["file_name"]): image["id"] for image in document["images"]}
    if len(numbers) < len({image["id"] for image in document["images"]}):
        raise DataError(truth, "images in it share a name", "keep the images of one folder in it")
    return numbers


def _collected(
    pred: Path, content: Mapping[str, Any] | None, numbers: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The annotations of one document, or of all in a folder, with the image numbers of the truth."""
    if content is not None:
        documents = {pred: content}
    else:
        root = pred / "predictions" if (pred / "predictions").is_dir() else pred
        files = sorted(root.glob("*/coco.json"))
        if not files:
            raise DataError(root, "no <stem>/coco.json here", "choose a run, or a COCO JSON file")
        if is_run(pred):
            files = _listed_in_truth(root, files, numbers)
        documents = {file: _json(file) for file in files}
    results: list[dict[str, Any]] = []
    for path, found in documents.items():
        with reading(path, "COCO document with scores"):
            stems = {image["id"]: image_id(image["file_name"]) for image in found["images"]}
            named = [(stems[each["image_id"]], each) for each in _listed(found)]
            rows = [({**each, "category_id": 1, "score": float(each["score"])}, stem) for stem, each in named]
        strange = next((stem for stem in stems.values() if stem not in numbers), None)
        if strange is not None:
            raise DataError(path, f"image {strange!r} is not in the truth", "predict the annotated images")
        results += [{**each, "image_id": numbers[stem]} for each, stem in rows]
    return results


def _listed_in_truth(root: Path, files: Sequence[Path], numbers: Mapping[str, Any]) -> list[Path]:
    """Those of a run's predictions that can be scored."""
    kept = {file.parent.name: file for file in files if file.parent.name in numbers}
    missing = sorted(numbers.keys() - kept.keys())
    if missing:
        found = f"no prediction for {len(missing)} of the {len(numbers)} images of the truth: {missing[0]}"
        raise DataError(root, found, "predict these too, or take them out of the truth")
    return [*kept.values()]


def _truth(path: Path) -> dict[str, Any]:
    content = _json(path)
    with reading(path, "COCO document"):
        entries = [{"iscrowd": 0, **entry} for entry in _listed(content)]
        if not all({"id", "image_id", "category_id", "area"} <= set(entry) for entry in entries):
            raise ValueError("an annotation without id, image_id, category_id or area")
        return {**content, "images": list(content["images"]), "annotations": entries}


def _one_category(document: Mapping[str, Any]) -> dict[str, Any]:
    entries = [{**entry, "category_id": 1} for entry in document["annotations"]]
    return {**document, "annotations": entries, "categories": [{"id": 1, "name": "object"}]}


def _listed(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = document["annotations"]
    return list(entries.values() if isinstance(entries, Mapping) else entries)


def _json(path: Path) -> Any:
    check_file(path, "COCO JSON")
    with reading(path, "COCO JSON file"):
        return json.loads(path.read_text(encoding="utf-8"))
