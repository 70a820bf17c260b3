"""What a plan keeps of the command line, and what a report makes of it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError, UsageError
from morula.core.types import Voxel, VoxelSize
from morula.data import load_records, write_labels
from morula.workflows.commands import commands
from morula.workflows.plan import Plan, plan
from morula.workflows.train import describe, reopened


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "my images"
    folder.mkdir()
    for name in "abcd":
        grey = np.random.default_rng(ord(name)).integers(0, 200, (64, 64), np.uint8)
        tifffile.imwrite(folder / f"{name}.tif", grey)
    return folder


def repeated(made: Plan, run: Path) -> list[str]:
    return shlex.split(commands(made.as_json(), {"seed": 3}, run)[0])


def test_the_command_that_repeats_a_run_has_all_that_was_said(images: Path, tmp_path: Path) -> None:
    made = plan(images, voxel=Voxel(y=650, x=650), skip_bad=True)
    run = tmp_path / "a run"
    assert repeated(made, run) == [
        *("morula", "run", str(images), "--pixel-size", "650", "--skip-bad"),
        *("--config", str(run / "plan.toml"), "--seed", "3", "--out", f"{run}-again"),
    ]
    assert "--pixel-size" not in repeated(plan(images), run)


def test_a_preset_that_the_file_contradicts_is_refused(images: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    plan(images, preset="fast").save(file)
    assert plan(images, config=file).preset == plan(images, config=file, preset="fast").preset == "fast"
    with pytest.raises(UsageError, match="says preset fast"):
        plan(images, config=file, preset="smoke")


def test_a_preset_is_no_setting(images: Path) -> None:
    with pytest.raises(UsageError, match="choose it with --preset"):
        plan(images, assignments=["preset=paper"])


def test_labels_that_only_measure_make_no_other_run(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels").mkdir()
    objects = np.zeros((64, 64), np.uint8)
    objects[5:20, 5:20], objects[30:50, 30:50] = 1, 2
    tifffile.imwrite(tmp_path / "labels/a.tif", objects)
    bare = plan(images)
    monkeypatch.chdir(tmp_path)
    known = plan("my images", labels="labels", recipe="psm")
    assert [describe(each) for each in known.records] == [describe(each) for each in bare.records]


def test_a_mask_of_many_cells_is_no_set_of_labels(images: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    mask = np.zeros((64, 64), np.uint8)
    mask[5:15, 5:15] = mask[30:40, 30:40] = mask[50:60, 5:15] = 255
    tifffile.imwrite(tmp_path / "labels/a.tif", mask)
    with pytest.raises(DataError, match="the labels of a: a mask, not numbered objects: 3 pieces"):
        plan(images, labels=tmp_path / "labels")
    mask[30:40, 30:40] = 0  # one cell that another parts in two
    tifffile.imwrite(tmp_path / "labels/a.tif", mask)
    assert plan(images, labels=tmp_path / "labels").recipe == "cupre"


@pytest.mark.parametrize(
    ("told", "size"), [(None, Voxel(y=500, x=250)), (Voxel(y=80, x=80), Voxel(y=80, x=80)), ("unknown", None)]
)
def test_a_report_opens_an_image_with_the_size_that_was_told(
    tmp_path: Path, told: VoxelSize, size: Voxel | None
) -> None:
    write_labels(tmp_path / "a.tif", np.zeros((16, 16), np.int32), voxel=Voxel(y=500, x=250))
    (record,), _ = load_records(tmp_path / "a.tif", voxel=told)
    again = reopened(describe(record))
    assert again is not None and again.voxel == record.image.voxel == size
