"""`morula select` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage as ndi

from commands import cli
from em_scene import blobs, save_stack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image, truth = blobs(0)
    for name, mask in {
        "last": ndi.binary_dilation(truth, np.ones((1, 5, 5))),
        "best": truth,
        "first": np.zeros_like(truth),
    }.items():
        save_stack(tmp_path / "candidates" / f"{name}.tif", mask)
    save_stack(tmp_path / "prior.tif", blobs(7)[1])
    save_stack(tmp_path / "image.tif", image)
    return tmp_path


def test_json_has_the_ranking_best_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = ["--images", folder / "image.tif"]
    sizes = ["--voxel-size", "40", "5", "5", "--source-voxel-size", "45", "4.6", "4.6"]
    code, out, _ = cli(
        capsys, "select", folder / "candidates", "--prior", folder / "prior.tif", *images, *sizes, "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert [entry["name"] for entry in found["ranking"]] == ["best", "last", "first"]
    assert found["abstain"] is False
    assert all(isinstance(entry["score"], float) for entry in found["ranking"])


def test_text_names_candidates_and_reasons(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = cli(
        capsys, "select", folder / "candidates", "--prior", folder / "prior.tif", "--voxel-size", "unknown"
    )
    assert code == 0
    assert "no object of more than 10 pixels" in out.splitlines()[2]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--voxel-size", "5"], 2, "not a size"),
        (["--voxel-size", "0", "5", "5"], 2, "not a size"),
        (["--prior", "nowhere.tif"], 3, "no such file"),
    ],
)
def test_mistakes_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    prior = [] if "--prior" in arguments else ["--prior", folder / "prior.tif"]
    found, _, err = cli(capsys, "select", folder / "candidates", *prior, *arguments)
    assert found == code
    assert message in err
    assert "Fix:" in err
