"""What all rows of the table share: images, the test third, the labelled draws, the scores, the clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from morula.core.rng import Rng
from morula.core.types import Array, Record
from morula.data import load_records, measure
from morula.data.budget import few_shot, few_shot_order
from morula.data.coco import encode_rle
from morula.data.modality import modality
from morula.metrics import LIVECELL, coco_scores, instance_scores
from morula.post import drop_small

__all__ = ["SETS", "Objects", "Problem", "opened", "scores"]


class DataSet(NamedTuple):
    """A folder below DATA, its name in the table, and how many labelled images it is measured with."""

    folder: str
    title: str
    counts: tuple[int, ...]


SETS: Mapping[str, DataSet] = {
    "dsb2018": DataSet("dsb2018/open", "DSB2018, nuclei of all modalities", (1, 5, 10)),
    "t98g": DataSet("pc_usiigaci_t98g/open", "T98G, cells in phase contrast", (1, 3)),
}
_TEST = 1 / 3
_GROUP = "mosaic_group"  # in the manifest: neighbouring tiles of one picture, which no split tears apart


class Objects(NamedTuple):
    """Labels `(y, x)` 1..N and the score of each object `(N,)`."""

    labels: Array
    scores: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """A data set with its fixed test third.

    Attributes:
        name: of the set.
        train: what is learned from; labels are taken away by `drawn`.
        test: never trained on, never looked at before the end.
    """

    name: str
    train: Sequence[Record]
    test: Sequence[Record]

    @cached_property
    def strata(self) -> dict[str, str]:
        """Modality of each image that may be labelled."""
        return {each.id: modality(each.image.read_yxc()) for each in self.train}

    @cached_property
    def few(self) -> list[Record]:
        """Five images, one with labels: with little that is done once, to tell the seconds of a step."""
        drawn = sorted(self.drawn(1, 0), key=lambda each: not each.is_labelled)
        return drawn[:5]

    def drawn(self, count: int, seed: int) -> list[Record]:
        """The images to learn from, `count` of them with labels; a larger draw holds the smaller."""
        chosen = set(few_shot_order(self.strata, Rng(seed, "draw"))[:count])
        return [each if each.id in chosen else replace(each, labels=None) for each in self.train]


def opened(data: Path, name: str, *, part: str = "test") -> Problem:
    """A set, a third of its groups of images for the test, stratified by modality.

    Args:
        data: the folder of all sets.
        name: of the set.
        part: `test`, or `tune`: the train part alone, split again, to choose settings by.
    """
    folder = data / SETS[name].folder
    records, _ = load_records(folder / "images", folder / "masks")
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    groups = {Path(each["image"]).stem: each.get(_GROUP) for each in entries}
    whole = _split(name, [replace(each, group=groups[each.id] or each.id) for each in records], "test")
    return whole if part == "test" else _split(name, whole.train, part)


def _split(name: str, records: Sequence[Record], part: str) -> Problem:
    strata = {each.group: modality(each.image.read_yxc()) for each in records}
    test = set(few_shot(strata, round(_TEST * len(strata)), Rng(0, part)))
    sides = ([each for each in records if (each.group in test) == side] for side in (False, True))
    return Problem(name, *sides)


def scores(found: Mapping[str, Objects], test: Sequence[Record]) -> dict[str, float]:
    """Scores over the test images.

    `AP` and `AP50` are COCO's average precision of masks with up to 2,000 objects an image, over IoU .5, .55
    ... .95 and at .5: all images pooled, objects ranked by their scores. `ap50` is TP / (TP + FP + FN) at
    IoU .5 and `dsb` its mean over the same ten thresholds, both means over images and blind to scores.
    """
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    each_image: list[dict[str, float]] = []
    for number, record in enumerate(test, start=1):
        assert record.labels is not None
        labels, ours = drop_small(record.labels(), 1), found[record.id]
        images.append({"id": number, "height": labels.shape[0], "width": labels.shape[1]})
        key = {"image_id": number, "category_id": 1}
        for code, area in zip(encode_rle(labels), measure(labels).area.tolist(), strict=True):
            truth.append({**key, "id": len(truth) + 1, "segmentation": code, "area": area, "iscrowd": 0})
        codes = zip(encode_rle(ours.labels), ours.scores.tolist(), strict=True)
        results += [{**key, "segmentation": code, "score": score} for code, score in codes]
        each_image.append(instance_scores(ours.labels, labels))
    document = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "cell"}]}
    pooled = coco_scores(document, results, "segm", LIVECELL) if results else {"AP": 0.0, "AP50": 0.0}
    means = {name: float(np.mean([each[name] for each in each_image])) for name in ("ap50", "dsb")}
    return {"AP": pooled["AP"], "AP50": pooled["AP50"], **means}
