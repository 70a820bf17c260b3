from typing import Any

import pytest

from morula.metrics import COCO, LIVECELL, coco_scores

IMAGES = [{"id": 1, "file_name": "a.png", "height": 1000, "width": 1000}]
CATEGORIES = [{"id": 1, "name": "cell"}, {"id": 2, "name": "other"}]


def document(boxes: list[list[float]], **more: Any) -> dict[str, Any]:
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        | more
        for number, box in enumerate(boxes, start=1)
    ]
    return {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations}


def detections(boxes: list[list[float]], category: int = 1) -> list[dict[str, Any]]:
    return [{"image_id": 1, "category_id": category, "bbox": box, "score": 0.5} for box in boxes]


GRID = [[25.0 * (i % 40), 25.0 * (i // 40), 20.0, 20.0] for i in range(1500)]


def test_all_of_1500_objects_count_in_livecell_and_100_in_coco() -> None:
    truth = document(GRID)
    assert coco_scores(truth, detections(GRID), "bbox", LIVECELL)["AP"] == pytest.approx(1.0)
    scores = coco_scores(truth, detections(GRID), "bbox", COCO)
    assert scores["AR100"] == pytest.approx(100 / 1500)
    assert scores["AP"] < 0.1


def test_sizes_are_those_of_the_protocol() -> None:
    """An object of 400 square pixels is small to COCO and of medium size to LIVECell."""
    coco, livecell = (
        coco_scores(document(GRID[:9]), detections(GRID[:9]), "bbox", p) for p in (COCO, LIVECELL)
    )
    assert (coco["AP_small"], coco["AP_medium"], coco["AP_large"]) == pytest.approx((1, -1, -1))
    assert (livecell["AP_small"], livecell["AP_medium"], livecell["AP_large"]) == pytest.approx((-1, 1, -1))


def test_the_category_counts_in_coco_alone() -> None:
    found = detections(GRID[:9], category=2)
    assert coco_scores(document(GRID[:9]), found, "bbox", COCO)["AP"] == 0.0
    assert coco_scores(document(GRID[:9]), found, "bbox", LIVECELL)["AP"] == pytest.approx(1.0)


def test_nothing_found_is_zero_and_nothing_to_find_is_minus_one() -> None:
    assert coco_scores(document(GRID[:9]), [], "bbox")["AP"] == 0.0
    assert coco_scores(document([]), detections(GRID[:9]), "bbox")["AP"] == -1.0


def test_a_crowd_is_neither_found_nor_missed() -> None:
    truth = document([[0, 0, 500, 500]], iscrowd=1, segmentation={"size": [1000, 1000], "counts": [0, 10**6]})
    truth["annotations"] += document([[600, 600, 20, 20]])["annotations"]
    truth["annotations"][1]["id"] = 2
    found = detections([[600, 600, 20, 20], [10, 10, 20, 20]])
    assert coco_scores(truth, found, "bbox")["AP"] == pytest.approx(1.0)


def test_annotations_may_be_a_dictionary_and_stay_as_they_are() -> None:
    truth = document(GRID[:3])
    keyed = {**truth, "annotations": {str(entry["id"]): entry for entry in truth["annotations"]}}
    before = str(keyed)
    assert coco_scores(keyed, detections(GRID[:3]), "bbox")["AP"] == pytest.approx(1.0)
    assert str(keyed) == before


def test_an_image_that_is_not_listed_is_refused() -> None:
    with pytest.raises(ValueError, match="image 7"):
        coco_scores(document(GRID[:1]), [{**detections(GRID[:1])[0], "image_id": 7}], "bbox")
