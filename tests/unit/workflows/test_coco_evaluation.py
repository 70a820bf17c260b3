import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.core.types import Segmentation
from morula.data.coco import coco_document
from morula.data.objects import measure
from morula.workflows.evaluate import evaluate


def labels() -> np.ndarray:
    found = np.zeros((60, 60), np.int32)
    found[5:20, 5:20], found[30:50, 30:50] = 1, 2
    return found


def found(name: str, image: np.ndarray) -> dict[str, Any]:
    count = int(image.max())
    segmentation = Segmentation(image, np.linspace(0.9, 0.5, count), ("nucleus",) * count)
    return coco_document(name, segmentation, measure(image))


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two images of two cells; ids start at 7, and the category is called otherwise than by a run."""
    documents = [found("plate/a.tif", labels()), found("b.png", labels().T.copy())]
    images, annotations = [], []
    for number, document in enumerate(documents, start=7):
        images.append({**document["images"][0], "id": number})
        annotations += [
            {**each, "image_id": number, "category_id": 3, "id": 10 * number + each["id"]}
            for each in document["annotations"]
        ]
    categories = [{"id": 3, "name": "cell"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return save(tmp_path / "truth.json", content)


def test_a_run_is_found_by_the_stems_of_its_images(tmp_path: Path, truth: Path) -> None:
    half = labels()
    half[half == 2] = 0
    for name, image in (("a", labels()), ("b", half)):
        save(tmp_path / "run" / "predictions" / name / "coco.json", found(f"{name}.tif", image))
    scores = evaluate(tmp_path / "run", truth, kind="coco")
    assert (scores["images"], scores["objects"], scores["detections"]) == (2, 4, 3)
    assert scores["segm"]["AR100"] == pytest.approx(0.75) == scores["livecell"]["segm"]["AR100"]
    assert scores["bbox"]["AP50"] == pytest.approx(76 / 101)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_of_a_run_the_images_of_the_truth_are_scored(tmp_path: Path, truth: Path) -> None:
    for name in ("a", "c"):
        save(tmp_path / "run" / "predictions" / name / "coco.json", found(f"{name}.tif", labels()))
    save(tmp_path / "run" / "run.json", {})
    with pytest.raises(DataError, match="no prediction for 1 of the 2 images of the truth: b"):
        evaluate(tmp_path / "run", truth, kind="coco")
    save(tmp_path / "run" / "predictions" / "b" / "coco.json", found("b.tif", labels()))
    scores = evaluate(tmp_path / "run", truth, kind="coco")
    assert (scores["images"], scores["objects"], scores["detections"]) == (2, 4, 4)


def test_results_keep_the_numbers_of_the_truth(tmp_path: Path, truth: Path) -> None:
    content = json.loads(truth.read_text())["annotations"]
    results = save(tmp_path / "results.json", [{**each, "score": 1.0} for each in content])
    assert evaluate(results, truth, kind="coco")["segm"]["AP"] == pytest.approx(1.0)
    boxes = [{key: value for key, value in each.items() if key != "segmentation"} for each in content]
    only = evaluate(save(tmp_path / "boxes.json", boxes), truth, kind="coco")
    assert only["bbox"]["AP"] == pytest.approx(1.0) and "segm" not in only


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a COCO JSON"),
        ({"images": []}, "annotations"),
        (found("elsewhere.png", labels()), "elsewhere"),
        ([{"image_id": 99, "category_id": 3, "bbox": [0, 0, 5, 5], "score": 0.5}], "99"),
        ([{"image_id": 7, "category_id": 3, "bbox": [0, 0, 5, 5]}], "score"),
        ([3], "set of COCO detections"),
    ],
)
def test_what_is_no_detection_is_refused(tmp_path: Path, truth: Path, content: Any, message: str) -> None:
    path = tmp_path / "pred.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=message) as error:
        evaluate(path, truth, kind="coco")
    assert str(path) in str(error.value)


def test_a_truth_whose_images_have_no_name_is_refused(tmp_path: Path, truth: Path) -> None:
    content = json.loads(truth.read_text())
    del content["images"][0]["file_name"]
    pred = save(tmp_path / "pred.json", found("a.tif", labels()))
    with pytest.raises(DataError, match="file_name"):
        evaluate(pred, save(truth, content), kind="coco")


def test_a_folder_without_predictions_is_refused(tmp_path: Path, truth: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"coco\.json"):
        evaluate(tmp_path / "empty", truth, kind="coco")
