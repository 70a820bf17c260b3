"""`morula trace`: a stack becomes SWC files in micrometres and in voxels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from commands import cli
from morula.core.tree import Tree
from morula.data import draw_tree, read_swc

LINE = Tree.of([[5, 20, 4], [5, 20, 44]], [-1, 0])


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.tif"
    save(path, draw_tree(LINE, (10, 40, 50), least=2.0).astype(np.uint8))
    return path


def save(path: Path, stack: np.ndarray) -> None:
    tifffile.imwrite(path, stack, photometric="minisblack")


def test_a_mask_becomes_two_files(mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = mask.parent / "out"
    words = [mask, "--out", out, "--voxel-size", 3000, 500, 250, "--root", 5, 20, 44, "--json"]
    code, said, error = cli(capsys, "trace", *words)
    assert (code, error) == (0, "")
    voxels, physical = (read_swc(out / name).tree for name in ("trace.voxel.swc", "trace.swc"))
    np.testing.assert_allclose(physical.points, voxels.points * [3, 0.5, 0.25], atol=1e-5)
    assert voxels.points[0, 2] > 42
    assert json.loads(said)["length_um"] == pytest.approx(physical.length, abs=1e-3)
    assert cli(capsys, "trace", *words)[0] == 2
    assert cli(capsys, "trace", *words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "how large a voxel"),
        (["--voxel-size", "3000", "500", "250", "--root", "5", "20", "60"], 2, "outside the stack"),
        (["--voxel-size", "3000", "500", "250", "--root", "5", "20"], 2, "not a point"),
    ],
)
def test_what_is_missing_is_asked_for(
    words: list[str], code: int, told: str, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = cli(capsys, "trace", mask, "--out", mask.parent / "out", *words)
    assert found[0] == code
    assert told in found[2]
    assert "Fix:" in found[2]
    assert not (mask.parent / "out").exists()


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        (np.zeros((10, 40, 50), np.uint8), "no foreground"),
        (np.full((10, 40, 50), 200, np.float32), "floats from 200 to 200"),
        (np.ones((1, 40, 50), np.uint8), "1 section"),
    ],
)
def test_what_cannot_be_traced(
    stack: np.ndarray, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.tif", stack)
    code, _, error = cli(
        capsys, "trace", tmp_path / "a.tif", "--out", tmp_path / "out", "--voxel-size", 9, 9, 9
    )
    assert code == 3
    assert told in error
    assert "a.tif" in error


def test_a_root_far_from_all_foreground_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "mask.tif", np.pad(draw_tree(LINE, (10, 40, 50), least=2.0), ((0, 0), (60, 0), (0, 0))))
    words = [tmp_path / "mask.tif", "--out", tmp_path / "out", "--voxel-size", 3000, 500, 250, "--root"]
    code, _, error = cli(capsys, "trace", *words, 5, 9, 4)
    assert (code, "70 voxels from the nearest foreground" in error) == (2, True), error
    assert not (tmp_path / "out").exists()
    assert cli(capsys, "trace", *words, 5, 60, 4)[0] == 0


@pytest.mark.parametrize(("depth", "reach"), [(250, 59), (7500, 31)])
def test_a_gap_between_sections_is_as_wide_as_they_are_deep(
    tmp_path: Path, depth: int, reach: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = np.zeros((60, 24, 24), np.uint8)
    stack[:24, 10:13, 10:13] = stack[28:, 10:13, 10:13] = 1
    save(tmp_path / "mask.tif", stack)
    size = ["--voxel-size", depth, 250, 250]
    assert cli(capsys, "trace", tmp_path / "mask.tif", "--out", tmp_path / "out", *size)[0] == 0
    heights = read_swc(tmp_path / "out/trace.voxel.swc").tree.points[:, 0]
    assert np.ptp(heights) == pytest.approx(reach, abs=4)
