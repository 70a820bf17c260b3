"""COCO's own published numbers, and pycocotools, with the settings of LIVECell."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import coco, cocoeval

from morula.data.coco import encode_rle
from morula.metrics import COCO, LIVECELL, coco_scores


@pytest.mark.real
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_published_scores(real_data: Path, kind: str) -> None:
    folder = real_data / "metric_cases/open/coco_ap"
    expected, truth, results = (
        json.loads((folder / name).read_text())
        for name in (
            "expected.json",
            "instances_val2014_100.json",
            f"instances_val2014_fake{kind}100_results.json",
        )
    )
    assert coco_scores(truth, results, kind) == pytest.approx(expected[kind], abs=1e-6)


def scene(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Three images of 150 discs in two categories, one of them a crowd, and shifted detections of most."""
    draw = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for image in (1, 2, 3):
        images.append({"id": image, "file_name": f"{image}.png", "height": 300, "width": 300})
        y, x = np.mgrid[:300, :300]
        for _ in range(150):
            centre, radius = draw.uniform(30, 270, 2), draw.choice([4.0, 8.0, 14.0, 25.0, 60.0])
            category, seen = int(draw.integers(1, 3)), draw.random() < 0.8
            moved = centre + draw.normal(0, 0.15 * radius, 2)
            discs = [(y - c[0]) ** 2 + (x - c[1]) ** 2 <= radius**2 for c in (centre, moved)]
            true, found = (encode_rle(disc.astype(np.int32))[0] for disc in discs)
            rows, columns = (np.flatnonzero(discs[0].any(axis=axis)) for axis in (1, 0))
            box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            entry = {"image_id": image, "category_id": category}
            annotations.append(
                {**entry, "id": len(annotations) + 1, "segmentation": true, "bbox": [float(v) for v in box],
                 "area": float(discs[0].sum()), "iscrowd": int(draw.random() < 0.01)}
            )  # fmt: skip
            if seen:
                results.append({**entry, "segmentation": found, "score": float(draw.random())})
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return {"images": images, "annotations": annotations, "categories": categories}, results


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("protocol", [COCO, LIVECELL])
def test_pycocotools(protocol: Any, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    truth, results = scene(0)
    index = coco.COCO()
    index.dataset = copy.deepcopy(truth)
    index.createIndex()
    judge = cocoeval.COCOeval(index, index.loadRes(copy.deepcopy(results)), kind)
    judge.params.maxDets = list(protocol.detections)
    judge.params.useCats = int(protocol.categories)
    small, medium = protocol.small, protocol.medium
    judge.params.areaRng = [[0, 1e10], [0, small], [small, medium], [medium, 1e10]]
    judge.evaluate()
    judge.accumulate()
    capsys.readouterr()
    precision, recall = judge.eval["precision"], judge.eval["recall"]
    expected = {
        "AP": precision[..., 0, -1], "AP50": precision[0, ..., 0, -1], "AP75": precision[5, ..., 0, -1],
        "AP_small": precision[..., 1, -1], "AP_medium": precision[..., 2, -1],
        "AP_large": precision[..., 3, -1], "AR_small": recall[..., 1, -1],
        "AR_medium": recall[..., 2, -1], "AR_large": recall[..., 3, -1],
        **{f"AR{n}": recall[..., 0, place] for place, n in enumerate(protocol.detections)},
    }  # fmt: skip
    means = {name: values[values > -1].mean() for name, values in expected.items()}
    assert 0.05 < means["AP"] < 0.95
    assert coco_scores(truth, results, kind, protocol) == pytest.approx(means, abs=1e-9)
