"""The product as a user runs it: one command, then what it left on disk."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

import morula
from commands import cli
from morula.core.errors import UsageError
from synthetic import save_folder

COLUMNS = ("id class score area centroid_y centroid_x bbox_y0 bbox_x0 bbox_y1 bbox_x1 touches_border").split()  # noqa: SIM905  the names as the manual lists them


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A finished run on synthetic fluorescence: images, masks, run."""
    root = tmp_path_factory.mktemp("job")
    images, masks = save_folder(root, 3)
    morula.run(images, labels=masks, out=root / "run", preset="smoke", device="cpu")
    return images, masks, root / "run"


def test_a_run_leaves_labels_tables_and_a_report(finished: tuple[Path, Path, Path]) -> None:
    _, _, run = finished
    for stem in ("cells0", "cells1", "cells2"):
        folder = run / "predictions" / stem
        labels = tifffile.imread(folder / "labels.tif")
        assert labels.dtype == np.uint16
        with (folder / "objects.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert list(rows[0]) == COLUMNS
        assert [int(row["id"]) for row in rows] == list(range(1, labels.max() + 1))
        assert all(0 <= float(row["score"]) <= 1 for row in rows)
        assert len(json.loads((folder / "coco.json").read_text())["annotations"]) == len(rows)
        assert len(json.loads((folder / "objects.geojson").read_text())["features"]) == len(rows)
    page = (run / "report" / "index.html").read_text()
    assert "cells1" in page
    assert not list(run.rglob("*.part*"))


def test_it_finds_the_cells(finished: tuple[Path, Path, Path]) -> None:
    _, masks, run = finished
    scores = morula.evaluate(run / "predictions", masks, kind="instances")
    assert scores["mean"]["ap50"] > 0.8
    assert scores["mean"]["aji"] > 0.6


def test_the_controls_stand_beside_the_result(finished: tuple[Path, Path, Path]) -> None:
    run = finished[2]
    controls = sorted((run / "controls").iterdir())
    assert len(controls) >= 3
    for control in controls:
        assert json.loads((control / "scores.json").read_text()).keys() == {"cells0", "cells1", "cells2"}


def test_the_same_command_again_changes_nothing(
    finished: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    images, masks, run = finished
    kept = [*run.glob("predictions/*/*"), *run.glob("*-*/*"), *run.glob("model/*")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    code, out, _ = cli(
        capsys,
        "run",
        images,
        "--labels",
        masks,
        "--out",
        run,
        "--preset",
        "smoke",
        "--device",
        "cpu",
        "--json",
        "-q",
    )
    assert code == 0
    result = json.loads(out.splitlines()[-1])
    assert result["run"] == str(run)
    assert result["recipe"] == "psm"
    assert result["scores"]["aji"] > 0.6
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def test_corrected_labels_in_a_run_are_neither_replaced_nor_scored_against_themselves(
    finished: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    images, _, whole = finished
    run = shutil.copytree(whole, tmp_path / "run")
    corrected = run / "predictions" / "cells1" / "labels.tif"
    tifffile.imwrite(corrected, np.tri(160, dtype=np.uint16))
    settings = {"out": run, "preset": "smoke", "device": "cpu"}
    with pytest.raises(UsageError, match="predictions: it lies inside of --out"):
        morula.run(images, labels=run / "predictions", recipe="psm", **settings)
    with pytest.raises(
        UsageError, match="cells1: nothing shows that this prediction is still as the run wrote"
    ):
        morula.run(images, **settings)
    assert (tifffile.imread(corrected) == np.tri(160)).all()


def test_labels_that_measure_come_and_go_without_another_training(
    finished: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    images, masks, whole = finished
    run, few = shutil.copytree(whole, tmp_path / "run"), tmp_path / "few"
    few.mkdir()
    shutil.copy(next(masks.iterdir()), few)
    trained = {path: path.stat().st_mtime_ns for path in run.glob("*-*/*.safetensors")}
    again = morula.run(images, out=run, preset="smoke", device="cpu")
    assert again.scores is None and list((run / "scores").iterdir()) == []
    measured = morula.run(images, labels=few, recipe="psm", out=run, preset="smoke", device="cpu")
    assert measured.scores is not None and len(list((run / "scores").iterdir())) == 1
    assert measured.scores["aji"] == morula.evaluate(run, few, kind="instances")["mean"]["aji"]
    assert trained and {path: path.stat().st_mtime_ns for path in run.glob("*-*/*.safetensors")} == trained


def test_predict_needs_the_run_alone(
    finished: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("run.json", "config.json", "model"):
        source = finished[2] / name
        subprocess.run(["cp", "-r", str(source), str(moved / name)], check=True)
    new, masks = save_folder(tmp_path / "new", 1, size=200, count=25)
    code, _, err = cli(capsys, "predict", moved, new, "--out", tmp_path / "found", "-q")
    assert code == 0, err
    scores = morula.evaluate(tmp_path / "found", masks, kind="instances")
    assert scores["mean"]["ap50"] > 0.7
    labels = next((tmp_path / "found").glob("*/labels.tif"))
    made = labels.stat().st_mtime_ns
    code, _, err = cli(capsys, "predict", moved, new, "--out", tmp_path / "found", "-q")
    assert code == 0, err
    assert labels.stat().st_mtime_ns == made
    tifffile.imwrite(labels, np.tri(200, dtype=np.uint16))  # corrected
    code, _, err = cli(capsys, "predict", moved, new, "--out", tmp_path / "found", "-q")
    assert code == 2
    assert "--overwrite" in err


def test_a_run_killed_while_it_trains_goes_on_to_the_same_result(
    finished: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    images, masks, whole = finished
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "morula", "run", str(images), "--labels", str(masks)]
    command += ["--out", str(run), "--preset", "smoke", "--device", "cpu", "-q"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    while not list(run.glob("*/metrics.jsonl")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (run / "model" / "model.json").exists()
    assert subprocess.run(command, check=False).returncode == 0
    for stem in ("cells0", "cells1", "cells2"):
        path = Path("predictions") / stem / "labels.tif"
        assert np.array_equal(tifffile.imread(whole / path), tifffile.imread(run / path))


def test_a_plan_says_why_and_can_be_edited(
    finished: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = finished[0]
    code, out, _ = cli(capsys, "plan", images, "--preset", "smoke", "--out", tmp_path / "plan.toml")
    assert code == 0
    assert "fluorescence (3)" in out
    again = morula.plan(images, config=tmp_path / "plan.toml")
    assert again.preset == "smoke"
    assert again.config == morula.plan(images, preset="smoke").config


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--set", "nosuchkey=1"], "there is no such key"),
        (["--preset", "bets"], "choose one of"),
        (["--recipe", "psn"], "choose one of psm"),
        (["--resume", "--overwrite"], "contradict"),
        (["--config", "none.toml"], "cannot be read"),
    ],
)
def test_a_wrong_option_is_exit_code_2_and_leaves_nothing(
    finished: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
    message: str,
) -> None:
    code, _, err = cli(capsys, "run", finished[0], "--out", tmp_path / "run", *extra)
    assert code == 2
    assert message in err
    assert "Fix:" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_another_config_in_the_same_folder_is_refused(
    finished: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = cli(capsys, "run", finished[0], "--out", finished[2], "--preset", "smoke", "--seed", 7)
    assert code == 2
    assert "--overwrite" in err


def test_doctor_and_data_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = cli(capsys, "doctor", "--json")
    assert code == 0
    assert json.loads(out)["packages"]["ok"]
    code, out, _ = cli(capsys, "data", "list")
    assert code == 0
    assert {"monuseg", "bcdata", "bbbc038"} <= {line.split()[0] for line in out.splitlines()}
