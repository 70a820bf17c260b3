"""Neurons in stacks as a user gets them: traced stacks train, new ones get masks, traces and a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from commands import cli
from morula.data import read_swc
from synthetic import save_traced, traced_stack

SIZE = ("--voxel-size", 3000, 1000, 1000)


def test_traced_stacks_train_and_new_ones_are_traced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = save_traced(tmp_path, 3, 2)
    out = tmp_path / "run"
    code, text, err = cli(
        capsys, "run", images, "--labels", labels, "--label-suffix", "_gold", *SIZE, "--out", out,
        "--preset", "smoke", "--set", "steps=60", "-q", "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(text)
    assert result["recipe"] == "vit3d"
    assert result["images"].keys() == {"n0", "n1", "n2"}
    assert result["scores"]["f1_4"] > 0.5
    assert 0 < result["scores"]["dice"] <= 1
    assert result["scores"]["hd95"] < 40
    page = (out / "report" / "index.html").read_text()
    for part in (
        "from above",
        "from the side",
        "only in the trace",
        "tips",
        "mean radius (µm)",
        'href="../predictions/n0/branches.csv"',
        "cldice",
        "What the traces teach",
        "that the network learned from",
    ):
        assert part in page, part

    new, found = tmp_path / "new", tmp_path / "found"
    new.mkdir()
    image, tree = traced_stack(7)
    tifffile.imwrite(new / "n7.tif", image, photometric="minisblack")
    code, text, err = cli(
        capsys, "predict", out, new, *SIZE, "--root", *tree.points[0].round().astype(int), "--out", found,
        "-q", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    assert f"open {found / 'report.html'}" in text
    assert "n7, from above" in (found / "report.html").read_text()
    mask = tifffile.imread(found / "n7" / "labels.tif")
    assert mask.shape == image.shape
    assert set(np.unique(mask)) == {0, 1}
    voxels, lengths = (read_swc(found / "n7" / name).tree for name in ("trace.voxel.swc", "trace.swc"))
    assert np.allclose(voxels.points * (3, 1, 1), lengths.points, atol=1e-4)
    assert np.linalg.norm(voxels.points[0] - tree.points[0]) < 6

    code, text, err = cli(
        capsys,
        "evaluate",
        found / "n7" / "trace.voxel.swc",
        labels / "n0_gold.swc",
        "--kind",
        "swc",
        "--json",
        *SIZE,
    )
    assert code == 0, err
    assert 0 <= json.loads(text)["mean"]["f1_4"] <= 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--voxel-size"),
        ((*SIZE, "--label-offset", 0, 0, 0), "--label-offset"),
        (("--voxel-size", "unknown"), "micrometres"),
        ((*SIZE, "--recipe", "emda"), "--source"),
    ],
)
def test_what_is_missing_or_too_much_is_named(
    options: tuple[object, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = save_traced(tmp_path, 1, 1, "")
    code, _, err = cli(capsys, "plan", images, "--labels", labels, *options)
    assert code == 2
    assert told in err


def test_a_trace_is_scored_where_there_is_none_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, labels = save_traced(tmp_path, 1, 1)
    (tmp_path / "lone.swc").write_text("1 0 5 5 5 1 -1\n")
    truth = labels / "n0_gold.swc"
    for name, f1 in ((tmp_path / "lone.swc", 0.3), (truth, 1.0)):
        code, text, err = cli(capsys, "evaluate", name, truth, "--kind", "swc", "--json", *SIZE)
        assert code == 0, err
        scores = json.loads(text)["mean"]
        assert scores["f1_4"] == 1.0 if f1 == 1.0 else scores["f1_4"] < f1
        assert scores["diadem"] == (1.0 if f1 == 1.0 else 0.0)
        assert np.isfinite([*scores.values()]).all()
