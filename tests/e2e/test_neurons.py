"""Neurons as a user gets them: one volume, a labelled block, one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.cli.main import main
from synthetic import neurites


def cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A volume, labels of a block of it, and the same as large as the volume, with zeros around the block."""
    folder = tmp_path_factory.mktemp("scene")
    image, labels = neurites(0)
    whole = np.zeros_like(labels)
    whole[4:20, :40, 8:56] = labels[4:20, :40, 8:56]
    paths = {"raw": image, "block": labels[4:20, :40, 8:56], "whole": whole}
    for name, array in paths.items():
        tifffile.imwrite(folder / f"{name}.tif", array, photometric="minisblack")
    return {name: folder / f"{name}.tif" for name in paths}


def test_a_block_becomes_a_segmented_volume_a_score_and_a_report(
    scene: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    placed = ["--labels", scene["block"], "--label-offset", 4, 0, 8, "--voxel-size", 10, 10, 10]
    code, text, err = cli(
        capsys, "run", scene["raw"], *placed, "--out", out, "--preset", "smoke", "-q", "--json",
        "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(text)
    assert result["recipe"] == "mscon"
    assert set(result["scores"]) >= {"voi", "voi_split", "voi_merge", "are"}
    found = tifffile.imread(out / "predictions" / "raw" / "labels.tif")
    assert found.shape == tifffile.imread(scene["raw"]).shape
    assert found.min() == 1
    page = (out / "report" / "index.html").read_text()
    for part in (
        "Neurons in raw.tif",
        "Threshold",
        "Affinities",
        "Largest neurons",
        "grey values",
        "did not learn from",
    ):
        assert part in page
    assert "--label-offset 4 0 8" in page
    assert json.loads((out / "data.json").read_text())["raw"]["box"] == [[4, 20], [0, 40], [8, 56]]


def test_both_ways_to_name_a_block_plan_the_same(
    scene: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--voxel-size", 10, 10, 10, "--json"]
    block = ["--labels", scene["block"], "--label-offset", 4, 0, 8]
    _, one, _ = cli(capsys, "plan", scene["raw"], *block, *size)
    _, other, _ = cli(capsys, "plan", scene["raw"], "--labels", scene["whole"], *size)
    first, second = json.loads(one), json.loads(other)
    assert first["recipe"] == second["recipe"] == "mscon"
    assert first["facts"]["block"] == second["facts"]["block"]
    assert first["facts"]["neurons"] == second["facts"]["neurons"] > 1
    assert "labelled" in first["reasons"][0]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--labels", "block", "--label-offset", 4, 0, 8], 2, "--voxel-size"),
        (["--labels", "block", "--voxel-size", 10, 10, 10], 2, "--label-offset"),
        (
            ["--labels", "block", "--voxel-size", 10, 10, 10, "--label-offset", 20, 0, 0],
            2,
            "leaves the volume",
        ),
        (["--labels", "block", "--voxel-size", 10, 10, 10, "--label-offset", 4, 0], 2, "is not a point"),
        (["--labels", "block", "--voxel-size", 10, 10, 10, "--label-offset", 4, 0.5, 1], 2, "is not a voxel"),
        (["--recipe", "mscon", "--voxel-size", 10, 10, 10], 2, "--labels"),
        (["--labels", "block", "--label-offset", 0, 0, 0, "--recipe", "psm"], 2, "--label-offset"),
        ([], 3, "--labels"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    scene: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[object],
    code: int,
    message: str,
) -> None:
    given = [scene.get(str(each), each) for each in options]
    found, _, err = cli(capsys, "run", scene["raw"], *given, "--out", tmp_path / "run")
    assert found == code, err
    assert message in err
    assert "Fix:" in err
    assert not (tmp_path / "run").exists()
