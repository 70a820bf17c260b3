"""Mitochondria across domains as a user gets them: one command, two stacks, one of them with labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

import morula
from commands import cli
from morula.core.errors import UsageError
from morula.core.types import Voxel
from morula.metrics import iou
from synthetic import em_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return em_pair(tmp_path_factory.mktemp("pair"))


def adapt(pair: dict[str, Path], out: Path, **other: Path) -> None:
    """A run with the target's labels for evaluation, and with what else is given."""
    labels = {"labels": pair["target_labels"], "source_labels": pair["source_labels"], **other}
    sizes = {"voxel": Voxel(z=40, y=12, x=12), "source_voxel": Voxel(z=40, y=8, x=8)}
    morula.run(
        pair["target"], source=pair["source"], **labels, **sizes, out=out, preset="smoke", device="cpu"
    )


@pytest.fixture(scope="module")
def finished(pair: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    adapt(pair, out)
    return out


def options(pair: dict[str, Path]) -> list[object]:
    return [pair["target"], "--source", pair["source"], "--source-labels", pair["source_labels"]]


def test_a_run_leaves_numbered_mitochondria(finished: Path, pair: dict[str, Path]) -> None:
    labels = tifffile.imread(finished / "predictions" / "target" / "labels.tif")
    truth = tifffile.imread(pair["target_labels"])
    assert labels.shape == truth.shape
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert iou(labels, truth) > 0.5


def test_the_report_shows_the_choice_and_both_domains(finished: Path) -> None:
    page = (finished / "report" / "index.html").read_text()
    for text in ("Mitochondria in target", "Choice of the checkpoint", "Histograms of the domains", "Oracle"):
        assert text in page
    assert "whether confidence follows them" in page and "there are no labels" not in page
    chosen = json.loads(next(finished.glob("*-select/done.json")).read_text())["chosen"]
    assert set(chosen) == {"last", "solidity", "composite"}


def test_labels_of_the_target_change_nothing_but_the_scores(
    finished: Path, pair: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--voxel-size", 40, 12, 12, "--source-voxel-size", 40, 8, 8]
    command = ["run", *options(pair), *sizes, "--out", tmp_path / "run", "--preset", "smoke", "-q", "--json"]
    code, out, err = cli(capsys, *command, "--device", "cpu")
    assert code == 0, err
    assert json.loads(out)["scores"] is None
    ours, theirs = (
        tifffile.imread(run / "predictions" / "target" / "labels.tif") for run in (tmp_path / "run", finished)
    )
    assert np.array_equal(ours, theirs)


def test_predict_needs_the_run_alone_and_evaluate_scores_volumes(
    finished: Path, pair: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    for name in ("run.json", "config.json", "model"):
        source = finished / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        moved.mkdir(exist_ok=True)
        copy(source, moved / name)
    code, _, err = cli(capsys, "predict", moved, pair["target"], "--out", tmp_path / "found", "-q")
    assert code == 0, err
    code, out, _ = cli(
        capsys, "evaluate", tmp_path / "found" / "target" / "labels.tif", pair["target_labels"],
        "--kind", "volumes",
    )  # fmt: skip
    scores = json.loads(out)["mean"]
    assert set(scores) == {"iou", "iou_per_slice", "dice", "ap50"}
    assert scores["iou"] > 0.5


def test_a_plan_says_why(pair: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--voxel-size", "unknown", "--source-voxel-size", 40, 8, 8]
    code, out, _ = cli(capsys, "plan", *options(pair), *sizes)
    assert code == 0
    assert 'recipe = "emda"' in out
    assert "another domain have labels" in out
    assert "A voxel size is unknown" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--voxel-size", "unknown"], 2, "--source-voxel-size"),
        (["--voxel-size", 40, 12], 2, "give three lengths Z Y X"),
        (["--voxel-size", "unknown", "--source-voxel-size", "unknown", "--recipe", "psm"], 2, "--source"),
    ],
)
def test_wrong_options_are_refused(
    pair: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[object],
    code: int,
    message: str,
) -> None:
    found, _, err = cli(capsys, "run", *options(pair), *arguments, "--out", tmp_path / "run")
    assert found == code
    assert message in err
    assert "Fix:" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.real
def test_real_volumes_run_to_the_end(real_data: Path, tmp_path: Path) -> None:
    """A corner of each open volume: what is tested is the way through, not the accuracy."""
    folders = {"em_vnc_sstem": "vnc_stack1", "em_cdeep3m_mito": "z010-029"}
    for folder, name in folders.items():
        for kind in ("raw", "mito"):
            whole = tifffile.imread(real_data / folder / "open" / f"{name}_{kind}.tif")
            part = whole[:4, :320, :320]
            tifffile.imwrite(tmp_path / f"{folder}_{kind}.tif", part, photometric="minisblack")
    result = morula.run(
        tmp_path / "em_cdeep3m_mito_raw.tif",
        labels=tmp_path / "em_cdeep3m_mito_mito.tif",
        source=tmp_path / "em_vnc_sstem_raw.tif",
        source_labels=tmp_path / "em_vnc_sstem_mito.tif",
        voxel=Voxel(z=40, y=8, x=8),
        source_voxel=Voxel(z=45, y=4.6, x=4.6),
        out=tmp_path / "run",
        preset="smoke",
        device="cpu",
    )
    assert result.scores is not None
    assert set(result.scores) == {"iou", "iou_per_slice", "dice", "ap50"}


def test_other_labels_of_the_source_are_another_run(
    finished: Path, pair: dict[str, Path], tmp_path: Path
) -> None:
    """What was learned from the old ones would otherwise stand beside what the new ones tuned."""
    other = tmp_path / "source_labels.tif"
    tifffile.imwrite(other, np.roll(tifffile.imread(pair["source_labels"]), 3, axis=2))
    with pytest.raises(UsageError, match="another config, other images or another seed"):
        adapt(pair, finished, source_labels=other)


def test_other_truth_measures_the_checkpoints_anew(
    finished: Path, pair: dict[str, Path], tmp_path: Path
) -> None:
    run, truth = tmp_path / "run", tmp_path / "target_labels.tif"
    shutil.copytree(finished, run)
    tifffile.imwrite(truth, tifffile.imread(pair["target_labels"])[:, ::-1])
    scores = run / "checkpoints" / "scores.json"
    before = json.loads(scores.read_text())
    adapt(pair, run, labels=truth)
    after = json.loads(scores.read_text())
    assert after.keys() == before.keys() and max(after.values()) < max(before.values())
