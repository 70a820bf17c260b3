"""What a run that traces makes of new stacks, and says of them: which it takes, doubts, and refuses."""

from __future__ import annotations

import re
from html import unescape
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.console import Console

from block_runs import tracing_run
from morula.core.errors import DataError, UsageError
from morula.core.files import write_json
from morula.core.types import Voxel
from morula.workflows.plan import plan
from morula.workflows.predict import predict
from synthetic import save_traced

SIZE = Voxel(z=3000.0, y=1000.0, x=1000.0)


def test_the_page_shows_the_tree_over_projections(tmp_path: Path) -> None:
    run, (stacks, traces) = tracing_run(tmp_path / "run"), save_traced(tmp_path, 2, 1, "")
    write_json(run / "data.json", {"a": {"nm": [9000, 1000, 1000]}})
    traces.rename(tmp_path / "scores")  # true traces of other stacks, of which one has the same name
    black(stacks / "n2.tif")
    found = predict(run, stacks, out=tmp_path / "found", voxel=SIZE, device="cpu", skip_bad=True)
    assert found.as_json()["report"] == str(found.report)
    page = unescape(found.report.read_text())
    for part in (
        "Neurons in 2 images",
        "n0, from above",
        "n1, from the side",
        "tips",
        "mean radius (µm)",
        "the run was trained at 9000 1000 1000 nm",
        "n2.tif: every voxel is 0",
        f"morula predict {run} {stacks} --out {tmp_path / 'found'} --voxel-size 3000 1000 1000 --skip-bad",
    ):
        assert part in page, part
    assert "true one" not in page


def test_no_training_starts_from_a_run_that_traces(tmp_path: Path) -> None:
    run, (stacks, traces) = tracing_run(tmp_path / "run"), save_traced(tmp_path, 1, 1, "")
    told = f"apply it: morula predict {run} {stacks} --voxel-size 3000 1000 1000 --out DIR"
    for labels in (None, traces):
        with pytest.raises(UsageError, match=re.escape(told)):
            plan(stacks, labels=labels, voxel=SIZE, assignments=[f'weights="{run}"'])


def black(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((10, 48, 64), np.uint8), photometric="minisblack")


@pytest.mark.parametrize(("edge", "is_told"), [(1200, False), (500, True)])
def test_voxels_of_another_size_than_the_run_knows_are_told(
    edge: float, is_told: bool, tmp_path: Path
) -> None:
    run, (stacks, _) = tracing_run(tmp_path / "run"), save_traced(tmp_path, 1, 0)
    write_json(run / "data.json", {"a": {"nm": [3000, 1000, 1000]}})
    said, size = StringIO(), Voxel(z=3 * edge, y=edge, x=edge)
    predict(
        run, stacks, out=tmp_path / "found", voxel=size, device="cpu", console=Console(file=said, width=400)
    )
    assert ("n0.tif are 1500 500 500 nm, but the run was trained at 3000 1000 1000" in said.getvalue()) == (
        is_told
    )


def test_a_stack_that_looks_like_transmitted_light_is_told(tmp_path: Path) -> None:
    run, (stacks, _) = tracing_run(tmp_path / "run"), save_traced(tmp_path, 2, 0)
    image = tifffile.imread(stacks / "n1.tif")
    tifffile.imwrite(stacks / "n1.tif", 255 - image, photometric="minisblack")
    said = StringIO()
    predict(
        run, stacks, out=tmp_path / "found", voxel=SIZE, device="cpu", console=Console(file=said, width=400)
    )
    assert "n1.tif looks like dark neurites on a bright field" in said.getvalue()
    assert "n0.tif looks like" not in said.getvalue()


def test_a_black_stack_is_refused_by_name(tmp_path: Path) -> None:
    run = tracing_run(tmp_path / "run")
    black(tmp_path / "black.tif")
    with pytest.raises(DataError, match=r"black\.tif: every voxel is 0"):
        predict(run, tmp_path / "black.tif", out=tmp_path / "found", voxel=SIZE, device="cpu", skip_bad=True)
    assert not (tmp_path / "found").exists()


def test_a_black_stack_among_others_can_be_left_out(tmp_path: Path) -> None:
    run, (stacks, _) = tracing_run(tmp_path / "run"), save_traced(tmp_path, 1, 0)
    black(stacks / "n1.tif")
    with pytest.raises(DataError, match=r"n1\.tif: every voxel is 0\. .*--skip-bad"):
        predict(run, stacks, out=tmp_path / "found", voxel=SIZE, device="cpu")
    found = predict(run, stacks, out=tmp_path / "found", voxel=SIZE, device="cpu", skip_bad=True)
    assert found.images.keys() == {"n0"}
    assert "n1.tif: every voxel is 0" in found.skipped[0]
