"""What the page says of measured scores."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morula.core.files import write_json, write_text
from morula.core.types import Axes, Segmentation, Volume, Voxel
from morula.data import load_records, load_traced, write_labels, write_prediction
from morula.metrics import LOWER_IS_BETTER
from morula.recipes import RECIPES
from morula.workflows.findings import Finding
from morula.workflows.image_tables import image_rows
from morula.workflows.report import _MEASURES, _controls, _facts, _scores, report_prediction
from synthetic import save_folder, save_traced


@pytest.mark.parametrize("key", _MEASURES)
def test_errors_and_distances_are_told_apart_from_scores(key: str) -> None:
    (score,) = _scores([Finding("a", None, None, Path(), {key: 0.25})])
    assert (score.measure, score.mean) == (key, 0.25)
    assert score.higher_is_better == (key not in LOWER_IS_BETTER)
    assert not (score.higher_is_better and "0 is perfect" in score.meaning)


@pytest.mark.parametrize(
    ("recipe", "where"), [("mscon", "on the validation part"), ("psm", "against labels of 1 images")]
)
def test_a_score_says_what_it_was_measured_on(recipe: str, where: str, tmp_path: Path) -> None:
    scored = replace(finding("a", tmp_path, [0.5]), truth={"voi": 0.8})
    fact = _facts([scored], ("neuron",), RECIPES[recipe])[-1]
    assert (fact.label, fact.value, fact.note) == ("VOI", "0.800", where)


def test_every_error_is_told() -> None:
    assert set(_MEASURES) > LOWER_IS_BETTER


def finding(name: str, folder: Path, scores: list[float]) -> Finding:
    (folder / name).mkdir()
    lines = [f"{number},{name},{score},{number}.5,0,1,2,3" for number, score in enumerate(scores)]
    text = "\n".join(["id,class,score,area,centroid_y,centroid_x,bbox_y0,bbox_x0", *lines, ""])
    (folder / name / "objects.csv").write_text(text)
    return Finding(name, None, None, folder / name, None)


def test_images_that_stand_out_are_marked(tmp_path: Path) -> None:
    scores = {"some": [0.9] * 10, "more": [0.9] * 12, "weak": [0.2] * 10, "few": [0.9], "none": []}
    rows = list(image_rows([finding(name, tmp_path, each) for name, each in scores.items()]))
    assert [(row.name, row.flag) for row in rows] == [
        ("some", ""),
        ("more", ""),
        ("weak", "low confidence"),
        ("few", "few objects"),
        ("none", "no objects"),
    ]
    assert (rows[0].objects, rows[0].median_area) == (10, 5.0)


def test_what_a_trained_run_predicts_is_shown(tmp_path: Path) -> None:
    records, _ = load_records(save_folder(tmp_path, 2, count=3)[0])
    for record in records:
        labels = np.eye(*record.image.spatial_shape, dtype=np.int32)
        write_prediction(
            tmp_path / "out" / record.id, Segmentation(labels, np.ones(1), ("cell",)), record.image
        )
    write_json(tmp_path / "run" / "run.json", {"recipe": "psm"})
    ranked = tmp_path / "run" / "report" / "label_next.csv"  # of the images that the run was trained on
    write_text(ranked, "image,rank\nother,1\n")
    page = report_prediction(tmp_path / "run", tmp_path / "out", records, ["Beware."], "morula predict")
    assert page == tmp_path / "out" / "report.html"
    text = page.read_text()
    for part in ("Cells in 2 images", "Beware.", "cells0", "cells1", "1 objects", "Nothing was measured"):
        assert part in text, part
    assert text.count('class="drawn') == 2
    assert "label_next" not in text


def test_the_branches_of_what_a_trained_run_traced_are_linked(tmp_path: Path) -> None:
    size = Voxel(z=3000.0, y=1000.0, x=1000.0)
    (record,), _ = load_traced(*save_traced(tmp_path, 1, 1), suffix="_gold", voxel=size)
    assert record.trace is not None
    mask = np.ones(record.image.shape, np.int32)
    traced = Segmentation(mask, np.ones(1), ("neuron",), tree=record.trace())
    write_prediction(tmp_path / "out" / record.id, traced, record.image)
    write_json(tmp_path / "run" / "run.json", {"recipe": "vit3d"})
    page = report_prediction(tmp_path / "run", tmp_path / "out", [record], [], "morula predict")
    assert f'href="{record.id}/branches.csv"' in page.read_text()
    assert (page.parent / record.id / "branches.csv").is_file()


def test_an_object_takes_little_memory_in_a_report(tmp_path: Path) -> None:
    image = finding("a", tmp_path, [0.5] * 2000)
    tracemalloc.start()
    assert len(image.objects) == 2000
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100 * 2000


@pytest.mark.parametrize("known", [True, False])
def test_controls_that_a_recipe_scored_stand_beside_the_result(known: bool, tmp_path: Path) -> None:
    """Runs of earlier versions kept no such scores, and show pictures alone."""
    image = Volume(np.zeros((4, 8, 8), np.uint8), Axes("zyx"), "a")
    (tmp_path / "predictions").mkdir()
    told = finding("a", tmp_path / "predictions", [0.5])
    kept = {"voi": 1.0, "are": 0.25, "voi_border": 0.5, "are_border": 0.125}
    ours = Finding("a", image, None, told.folder, {**kept, "voi": 2.0})
    for file in (told.folder / "labels.tif", tmp_path / "controls" / "grey" / "a.tif"):
        write_labels(file, np.ones(image.shape, np.int32))
    write_json(tmp_path / "controls" / "grey" / "scores.json", {})
    write_json(tmp_path / "5-tune" / "done.json", {"controls": {"grey": kept}} if known else {"threshold": 1})
    found = _controls(tmp_path, [ours], [("example", ours)])
    assert [method.name for method in found.methods] == ["Morula", "grey"]
    assert all(method.picture is not None for method in found.methods)
    values = [method.values for method in found.methods]
    assert values == ([(2.0, 0.25, 0.5, 0.125), (1.0, 0.25, 0.5, 0.125)] if known else [(), ()])
    assert found.measures == (tuple(kept) if known else ()) and set(kept) < found.lower
