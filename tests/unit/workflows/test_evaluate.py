import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError, UsageError
from morula.metrics import instance_scores, semantic_scores
from morula.workflows.evaluate import evaluate

TRUTH = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 2, 2]], np.uint16)
PRED = np.array([[7, 7, 0, 0, 0], [0, 0, 0, 3, 3]], np.uint16)
HEADER = "x,y,label\n"

Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an array or a text below a fresh folder, as the suffix says."""

    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif path.suffix == ".png":
            Image.fromarray(content).save(path)
        else:
            tifffile.imwrite(path, content)
        return path

    return write


def leaves(value: Any) -> list[Any]:
    return [leaf for item in value.values() for leaf in leaves(item)] if isinstance(value, dict) else [value]


def assert_ready_for_json(result: dict[str, Any]) -> None:
    assert all(type(leaf) is float and math.isfinite(leaf) for leaf in leaves(result))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


# --- labels


def test_two_files(write: Write) -> None:
    result = evaluate(write("labels.tif", PRED), write("a.ome.tif", TRUTH), kind="instances")
    scores = instance_scores(PRED, TRUTH)
    assert result == {"images": {"a": scores}, "mean": scores}
    assert_ready_for_json(result)


def test_folders_pair_by_stem_whatever_the_format(write: Write, tmp_path: Path) -> None:
    write("pred/a.tif", PRED), write("pred/b.png", TRUTH)
    write("truth/a.png", TRUTH), write("truth/b.ome.TIFF", TRUTH), write("truth/notes.txt", "not an image")
    result = evaluate(tmp_path / "pred", str(tmp_path / "truth"), kind="instances")
    assert list(result["images"]) == ["a", "b"]
    assert result["images"]["b"]["aji"] == 1.0
    assert result["mean"]["aji"] == pytest.approx((instance_scores(PRED, TRUTH)["aji"] + 1) / 2)


@pytest.mark.parametrize("given", ["run", "run/predictions"])
def test_a_run_is_a_prediction(write: Write, tmp_path: Path, given: str) -> None:
    write("run/predictions/a/labels.tif", PRED), write("run/predictions/b.2/labels.tif", TRUTH)
    write("run/predictions/a/objects.csv", "id,class\n"), write("run/run.json", "{}")
    write("truth/a.tif", TRUTH), write("truth/b.2.tif", TRUTH)
    result = evaluate(tmp_path / given, tmp_path / "truth", kind="instances")
    assert list(result["images"]) == ["a", "b.2"]


def test_semantic_reads_any_mask(write: Write) -> None:
    truth = write("truth.png", TRUTH > 0)  # one bit a pixel
    result = evaluate(write("pred.png", ((PRED > 0) * 255).astype(np.uint8)), truth, kind="semantic")
    assert result["mean"] == semantic_scores(PRED > 0, TRUTH > 0)
    assert_ready_for_json(result)


def test_stacks(write: Write) -> None:
    truth = np.stack([TRUTH] * 5)
    result = evaluate(write("p.tif", truth), write("t.tif", truth), kind="semantic")
    assert result["mean"]["iou_per_slice"] == 1.0


@pytest.mark.parametrize("kind", ["volumes", "neurons"])
def test_a_volume_is_read_as_run_reads_labels(write: Write, tmp_path: Path, kind: str) -> None:
    truth = np.stack([TRUTH] * 5)
    pred = write("run/predictions/a/labels.tif", np.stack([PRED] * 5))
    for z, section in enumerate(truth):
        write(f"sections/{z}.png", section)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["mito"], file["raw"] = truth, truth
    expected = evaluate(pred, write("a.tif", truth), kind=kind)["mean"]
    for given, name in ((Path(f"{tmp_path}/a.h5:/mito"), "a"), (tmp_path / "sections", "sections")):
        assert evaluate(pred, given, kind=kind)["images"] == {name: expected}
    perfect = evaluate(tmp_path / "a.tif", tmp_path / "a.tif", kind=kind)["mean"]
    assert evaluate(tmp_path / "sections", tmp_path / "a.tif", kind=kind)["mean"] == perfect != expected
    assert evaluate(tmp_path / "run", f"{tmp_path}/a.h5:/mito", kind=kind)["mean"] == expected
    with pytest.raises(DataError, match=r"b\.h5:/mito: no such file"):
        evaluate(pred, tmp_path / "b.h5:/mito", kind=kind)
    with pytest.raises(DataError, match="no prediction for 5 of 5 images"):
        evaluate(pred, tmp_path / "sections", kind="instances")


def test_empty_images_score_without_nan(write: Write) -> None:
    nothing = np.zeros_like(TRUTH)
    for kind in ("instances", "semantic"):
        assert_ready_for_json(evaluate(write("p.tif", nothing), write("t.tif", nothing), kind=kind))


# --- points


def test_points_by_class_macro_micro_and_counts(write: Write, tmp_path: Path) -> None:
    write("truth/a.csv", HEADER + "10,10,positive\n50,50,positive\n90,10,negative\n")
    write("truth/b.csv", HEADER + "10,10,positive\n")
    write("pred/a.csv", HEADER + "13,14,positive\n90.5,10,negative\n30,90,negative\n")
    write("pred/b.csv", HEADER + "10,10,positive\n")
    result = evaluate(tmp_path / "pred", tmp_path / "truth", kind="points", radius=5)
    assert result["images"]["a"]["positive"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "tp": 1.0,
        "fp": 0.0,
        "fn": 1.0,
    }
    mean = result["mean"]
    assert mean["macro"]["positive"]["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert mean["positive"].items() >= mean["macro"]["positive"].items()
    assert mean["positive"].keys() == {"precision", "recall", "f1", "tp", "fp", "fn"}
    assert mean["micro"]["positive"]["recall"] == pytest.approx(2 / 3)
    assert mean["macro"]["negative"]["precision"] == pytest.approx((1 / 2 + 1) / 2)
    assert mean["class_mean"]["micro"]["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert mean["count_error"] == {"negative": 0.5, "positive": 0.5}
    assert mean["count_error_total"] == 0.0
    assert_ready_for_json(result)


def test_radius_is_twelve_pixels_by_default(write: Write) -> None:
    truth = write("t.csv", HEADER + "0,0,a\n100,0,a\n")
    pred = write("p.csv", HEADER + "12,0,a\n100,12.1,a\n")
    assert evaluate(pred, truth, kind="points")["mean"]["micro"]["a"]["tp"] == 1.0


def test_objects_of_a_run_are_points(write: Write, tmp_path: Path) -> None:
    write(
        "run/predictions/a/objects.csv",
        "id,class,score,area,centroid_y,centroid_x\n1,positive,0.9,80.0,20.0,10.0\n",
    )
    write("truth/a.csv", "\ufeff" + HEADER + "10,20,positive\n")  # with the byte-order mark of a spreadsheet
    result = evaluate(tmp_path / "run", tmp_path / "truth", kind="points", radius=1)
    assert result["images"]["a"]["positive"]["f1"] == 1.0


def test_tables_without_a_point_are_perfect(write: Write) -> None:
    result = evaluate(write("p.csv", HEADER), write("t.csv", HEADER), kind="points")
    assert result["images"] == {"t": {}}
    assert result["mean"]["class_mean"]["macro"]["f1"] == 1.0
    assert_ready_for_json(result)


# --- errors


def refusal(pred: Path, truth: Path, kind: str = "instances") -> str:
    with pytest.raises(DataError) as caught:
        evaluate(pred, truth, kind=kind)
    return str(caught.value)


def test_refuses_an_unknown_kind_and_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"'neurites' is not a kind.*volumes, neurons, points, swc, coco"):
        evaluate("a", "b", kind="neurites")


@pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf])
def test_refuses_a_radius_that_is_no_length(radius: float) -> None:
    with pytest.raises(UsageError, match="radius"):
        evaluate("a", "b", kind="points", radius=radius)


def test_refuses_a_path_that_does_not_exist(write: Write, tmp_path: Path) -> None:
    assert "nowhere: no such file or folder" in refusal(tmp_path / "nowhere", write("t.tif", TRUTH))


def test_refuses_unpaired_stems_on_either_side(write: Write, tmp_path: Path) -> None:
    for name in ("pred/a.tif", "truth/a.tif", "truth/b.tif"):
        write(name, TRUTH)
    assert "pred: no prediction for 1 of 2 images: b." in refusal(tmp_path / "pred", tmp_path / "truth")
    assert "pred: no truth for 1 of 2 images: b." in refusal(tmp_path / "truth", tmp_path / "pred")
    assert "no prediction for 1 of 2" in refusal(tmp_path / "pred/a.tif", tmp_path / "truth")


def test_of_a_run_what_has_a_truth_is_scored(write: Write, tmp_path: Path) -> None:
    for name in ("run/predictions/a/labels.tif", "run/predictions/b/labels.tif", "truth/b.tif"):
        write(name, TRUTH)
    write("run/run.json", "{}")
    assert list(evaluate(tmp_path / "run", tmp_path / "truth", kind="instances")["images"]) == ["b"]
    write("truth/c.tif", TRUTH)
    assert "no prediction for 1 of 2 images: c." in refusal(tmp_path / "run", tmp_path / "truth")


def test_refuses_a_mask_as_the_truth_of_objects(write: Write) -> None:
    mask = np.array([[255, 255, 0, 255, 0, 255, 255]], np.uint8)
    assert "3 pieces share the number 255" in refusal(write("p.tif", mask), write("t.tif", mask))


def test_refuses_doubled_stems(write: Write, tmp_path: Path) -> None:
    write("pred/a.tif", TRUTH), write("pred/a.png", TRUTH), write("truth/a.tif", TRUTH)
    assert "2 files share the stem 'a': a.png and a.tif" in refusal(tmp_path / "pred", tmp_path / "truth")
    write("other/a.tif", TRUTH), write("other/a/labels.tif", TRUTH)
    assert "share the stem 'a'" in refusal(tmp_path / "other", tmp_path / "truth")


def test_refuses_a_folder_without_files_of_the_kind(write: Write, tmp_path: Path) -> None:
    write("pred/a.csv", HEADER), write("truth/a.tif", TRUTH)
    message = refusal(tmp_path / "pred", tmp_path / "truth")
    assert "pred: no .png, .tif, .tiff file and no <stem>/labels.tif here" in message


def test_refuses_different_shapes(write: Write) -> None:
    message = refusal(write("p.tif", PRED[:, :4]), write("t.tif", TRUTH))
    assert "p.tif: shape (2, 4), but the truth" in message
    assert "(2, 5)" in message


COLOUR = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("p.tif", PRED.astype(np.float32), "labels of type float32"),
        ("p.tif", -PRED.astype(np.int32), "negative labels (lowest -7)"),
        ("p.tif", PRED.astype(np.uint64) + 2**63, "the label 9223372036854775"),
        ("p.tif", COLOUR, "3 different channels"),
        ("p.png", COLOUR, "3 different channels"),
        ("p.tif", np.zeros((2, 2, 5, 7), np.uint8), "axes QQYX with shape 2 x 2 x 5 x 7"),
        ("p.tif", "not a TIFF", "damaged, cut short, or not a TIFF"),
        ("p.png", "not a PNG", "damaged, cut short, or not a PNG"),
        ("p.csv", HEADER, "the extension .csv is not supported"),
    ],
)
def test_refuses_what_is_no_label_image(write: Write, name: str, content: Any, found: str) -> None:
    message = refusal(write(name, content), write("t.tif", TRUTH))
    assert f"{name}: {found}" in message
    assert "Fix: " in message


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_refuses_a_truncated_image(write: Write, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 60_000, (64, 64)).astype(np.uint16)
    path = write(f"p{suffix}", noise)
    path.write_bytes(path.read_bytes()[:3000])
    message = refusal(path, write("t.tif", TRUTH))
    assert f"p{suffix}: " in message
    assert "cut short" in message


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("x,label\n1,a\n", "no column y in the header 'x,label'"),
        ("id,centroid_y,centroid_x\n1,2,3\n", "no column class in the header"),
        ("", "the file is empty"),
        ("\n", "no column x, y, label in the header ''"),
        (HEADER + "1,2,a\n1,two,a\n", "line 3: x '1', y 'two', class 'a'"),
        (HEADER + "1,nan,a\n", "line 2: x '1', y 'nan', class 'a'"),
        (HEADER + "1,2,\n", "line 2: x '1', y '2', class ''"),
        (HEADER + "1\n", "line 2: x '1', y '', class ''"),
    ],
)
def test_refuses_what_is_no_table_of_points(write: Write, content: str, found: str) -> None:
    message = refusal(write("p.csv", content), write("t.csv", HEADER), "points")
    assert f"p.csv: {found}" in message


def test_refuses_a_table_that_is_no_text(tmp_path: Path, write: Write) -> None:
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00x,y")
    assert "not a CSV table" in refusal(tmp_path / "p.csv", write("t.csv", HEADER), "points")


def test_needs_no_torch() -> None:
    code = "import sys, morula.workflows.evaluate; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_smaller_truth_of_neurons_may_go_into_a_volume_as_large(tmp_path: Path) -> None:
    for name, side in (("pred", 9), ("truth", 7)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ones((5, side, side), np.uint16))
    with pytest.raises(DataError, match="into a volume as large, where 0 is not labelled"):
        evaluate(tmp_path / "pred.tif", tmp_path / "truth.tif", kind="neurons")


def test_neurons_without_truth_are_refused(tmp_path: Path) -> None:
    for name, value in (("pred", 1), ("truth", 0)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((2, 4, 4), value, np.uint16))
    with pytest.raises(DataError, match="no voxel is labelled"):
        evaluate(tmp_path / "pred.tif", tmp_path / "truth.tif", kind="neurons")


def test_neurons_may_have_the_ids_of_large_connectomes(tmp_path: Path) -> None:
    labels = np.array([[[0, 1, 1, 2]] * 4] * 2, np.uint64)
    for name, step in (("pred", 3), ("truth", 2**40)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["main"] = labels * np.uint64(step)
    scores = evaluate(tmp_path / "pred.h5", tmp_path / "truth.h5", kind="neurons")
    assert scores["mean"]["voi"] == 0


def test_neurons_are_scored_with_and_without_their_borders(tmp_path: Path) -> None:
    truth = np.ones((2, 12, 12), np.uint16)
    truth[:, :, 6:] = 2
    pred = np.roll(truth, 1, axis=2)  # wrong within a pixel of each border, and at the edge of the image
    pred[:, :, 0] = 1
    paths = [tmp_path / f"{name}.tif" for name in ("pred", "truth")]
    for path, labels in zip(paths, (pred, truth), strict=True):
        tifffile.imwrite(path, labels, photometric="minisblack")
    scores = evaluate(*paths, kind="neurons")["mean"]
    assert scores["voi"] > 0 and 0 < scores["are"] < scores["are_skimage"]
    inside = evaluate(*paths, kind="neurons", border=1)["mean"]
    assert inside["voi"] == inside["are"] == inside["are_skimage"] == 0
    with pytest.raises(DataError, match="no labelled voxel is more than 9 pixels from a border"):
        evaluate(*paths, kind="neurons", border=9)
    with pytest.raises(UsageError, match="--border: kind instances has no use for it"):
        evaluate(*paths, kind="instances", border=1)
    with pytest.raises(UsageError, match="-1 is no length"):
        evaluate(*paths, kind="neurons", border=-1)


def test_a_suffix_says_which_trace_is_the_true_one(tmp_path: Path) -> None:
    line = "1 2 {0} 1 1 1 -1\n2 2 {0} 1 30 1 1\n"
    for name, x in (("pred/a.swc", 1), ("truth/a.swc", 50), ("truth/a-gold.swc", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(line.format(x))
    scores = evaluate(tmp_path / "pred", tmp_path / "truth", kind="swc", label_suffix="-gold")
    assert scores["images"]["a"]["f1_4"] == 1.0
