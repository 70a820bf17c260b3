"""One volume on either side are a pair whatever they are named, as the pages of the recipes say."""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from commands import cli
from morula.core.errors import DataError
from morula.core.types import Axes
from morula.data.ome_zarr import write_image, write_labels
from morula.workflows.evaluate import evaluate

TRUTH = np.repeat(np.arange(1, 5, dtype=np.uint16), 256).reshape(4, 16, 16)
TRUTH[:, :, 8:] += 4
PRED = np.roll(TRUTH, 1, axis=2)


def save(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, labels, photometric="minisblack")
    return path


def true_labels(folder: Path, kind: str) -> Path:
    """The truth as a file, a data set, a store, a folder with one file, or a folder of sections."""
    if kind == "tif":
        return save(folder / "OTHER_LABELS.tif", TRUTH)
    if kind == "h5":
        with h5py.File(folder / "groundtruth.h5", "w") as file:
            file["stack"], file["raw"] = TRUTH, TRUTH
        return Path(f"{folder}/groundtruth.h5:/stack")
    if kind == "zarr":
        store = folder / "truth.ome.zarr"
        write_image(store, np.zeros(TRUTH.shape, np.uint8), Axes("zyx"))
        write_labels(store, "neurons", TRUTH, Axes("zyx"))
        return store / "labels" / "neurons"
    if kind == "folder":
        return save(folder / "kept/other name.tif", TRUTH).parent
    for z, section in enumerate(TRUTH):
        save(folder / f"sections/{z}.tif", section)
    return folder / "sections"


@pytest.mark.parametrize("kind", ["tif", "h5", "zarr", "folder", "sections"])
def test_the_line_of_the_recipes_page_scores_a_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    page = files("morula.recipes.mscon").joinpath("README.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("morula evaluate")]
    save(tmp_path / "found/OTHER/labels.tif", PRED)
    places = {"found": str(tmp_path / "found"), "OTHER_LABELS.tif": str(true_labels(tmp_path, kind))}
    words = [places.get(word, word) for word in shlex.split(line, comments=True)[1:]]
    code, told, error = cli(capsys, *words)
    assert code == 0, error
    ours, theirs = save(tmp_path / "ours.tif", PRED), save(tmp_path / "theirs.tif", TRUTH)
    assert json.loads(told)["mean"] == evaluate(ours, theirs, kind="neurons", border=2)["mean"]


@pytest.mark.parametrize("kind", ["tif", "zarr"])
def test_a_prediction_may_be_a_store_and_a_run(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "run/predictions/OTHER"
    folder.mkdir(parents=True)
    write_image(folder / "labels.ome.zarr", PRED, Axes("zyx"), how="mode", name="labels")
    found = evaluate(tmp_path / "run", true_labels(tmp_path, kind), kind="volumes")
    ours, theirs = save(tmp_path / "ours.tif", PRED), save(tmp_path / "theirs.tif", TRUTH)
    assert found["mean"] == evaluate(ours, theirs, kind="volumes")["mean"]


def test_several_are_paired_by_name(tmp_path: Path) -> None:
    save(tmp_path / "found/a/labels.tif", PRED)
    save(tmp_path / "found/truth/labels.tif", TRUTH)
    with pytest.raises(DataError, match=r"no prediction for 1 of 1 images: OTHER_LABELS"):
        evaluate(tmp_path / "found", true_labels(tmp_path, "tif"), kind="neurons")
    with pytest.raises(DataError, match=r"no truth for 1 of 2 images: a"):
        evaluate(tmp_path / "found", true_labels(tmp_path, "zarr"), kind="neurons")
    (tmp_path / "found").rename(tmp_path / "predictions")
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    found = evaluate(tmp_path, tmp_path / "truth.ome.zarr/labels/neurons", kind="neurons")
    assert found["images"]["truth"]["voi"] == 0
