"""Published reference values: HoVer-Net, StarDist and Cellpose on label images, HoVer-Net on points."""

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morula.metrics import (
    aji,
    aji_plus,
    dice,
    ensemble_dice,
    instance_scores,
    matching,
    panoptic_quality,
    point_scores,
)

pytestmark = pytest.mark.real

# HoVer-Net adds 1e-6 to the divisor of SQ, StarDist keeps IoU in 32 bits: both differ by less
TOLERANCE = 1e-6


def cases(root: Path, family: str) -> list[dict[str, Any]]:
    found = json.loads((root / "metric_cases/open" / family / "expected.json").read_text())
    assert found
    return found


def locate(root: Path, name: str) -> Path:
    return root / name[2:] if name.startswith("@/") else root / "metric_cases/open" / name


def label_images(root: Path, case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    with Image.open(locate(root, case["pred"])) as pred, Image.open(locate(root, case["gt"])) as truth:
        return np.asarray(pred), np.asarray(truth)


def points(path: Path) -> dict[str, np.ndarray]:
    found = defaultdict(list)
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            found[row["label"]].append((float(row["x"]), float(row["y"])))
    return {name: np.array(places) for name, places in found.items()}


def test_hover_net(real_data: Path) -> None:
    for case in cases(real_data, "instance2d"):
        if "hover_net" not in case["expected"]:  # it fails on empty images
            continue
        images = label_images(real_data, case)
        pq, dq, sq = panoptic_quality(*images)
        scores = {
            "AJI": aji(*images),
            "AJI_plus": aji_plus(*images),
            "DQ": dq,
            "SQ": sq,
            "PQ": pq,
            "dice_1": dice(*images),
            "dice_2": ensemble_dice(*images),
        }
        assert scores == pytest.approx(case["expected"]["hover_net"], abs=TOLERANCE), case["pred"]


def test_stardist(real_data: Path) -> None:
    for case in cases(real_data, "instance2d"):
        images = label_images(real_data, case)
        for threshold, expected in case["expected"]["stardist_matching"].items():
            counts, mean_iou = matching(*images, float(threshold))
            scores = {
                "tp": counts.tp,
                "fp": counts.fp,
                "fn": counts.fn,
                "precision": counts.precision,
                "recall": counts.recall,
                "f1": counts.f1,
                "accuracy": counts.ap,
                "mean_matched_score": mean_iou,
                "mean_true_score": mean_iou * counts.recall,
                "panoptic_quality": mean_iou * counts.f1,
            }
            assert scores == pytest.approx(expected, abs=TOLERANCE), (case["pred"], threshold)


def test_cellpose_average_precision(real_data: Path) -> None:
    for case in cases(real_data, "instance2d"):
        images = label_images(real_data, case)
        expected = case["expected"]["cellpose_metrics"]
        found = [matching(*images, threshold).counts for threshold in expected["threshold"]]
        assert [counts.ap for counts in found] == pytest.approx(expected["AP"], abs=TOLERANCE)
        assert [(counts.tp, counts.fp, counts.fn) for counts in found] == [
            *zip(expected["tp"], expected["fp"], expected["fn"], strict=True)
        ]


def test_all_scores_together_are_the_single_ones(real_data: Path) -> None:
    for case in cases(real_data, "instance2d"):
        images = label_images(real_data, case)
        scores = instance_scores(*images)
        assert (scores["pq"], scores["dq"], scores["sq"]) == panoptic_quality(*images)
        assert (scores["aji"], scores["aji_plus"]) == (aji(*images), aji_plus(*images))
        assert (scores["ap50"], scores["f1"]) == (matching(*images).counts.ap, dice(*images))


def test_points(real_data: Path) -> None:
    for case in cases(real_data, "points"):
        pred, truth = (points(locate(real_data, case[role])) for role in ("pred", "gt"))
        for key, expected in case["expected"].items():
            radius, name = key[1:].split("_")
            counts = point_scores(pred, truth, float(radius))[name]
            scores = {field: getattr(counts, field) for field in expected}
            assert scores == pytest.approx(expected, abs=TOLERANCE), (case["pred"], key)
