"""A training that was killed ends with the weights of one that was not."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from morula.core.errors import DataError, UsageError
from morula.core.files import atomic_path
from morula.engine import Run, Stage, TrainState, launch
from morula.engine.log import append_metrics, read_metrics

SCRIPT = Path(__file__).with_name("trainings.py")


@pytest.fixture(scope="module")
def trainings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trainings", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_resume_after_sigkill_gives_the_same_weights_bit_for_bit(
    trainings: ModuleType, tmp_path: Path
) -> None:
    whole = trainings.train(tmp_path / "whole", 40)

    command = [sys.executable, str(SCRIPT), str(tmp_path / "killed"), "40", "23"]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    checkpoint = torch.load(tmp_path / "killed" / "1-train" / "state.pt", weights_only=True)
    assert 0 < checkpoint["step"] < 40

    resumed = trainings.train(tmp_path / "killed", 40)

    assert whole.keys() == resumed.keys()
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_another_seed_gives_other_weights(trainings: ModuleType, tmp_path: Path) -> None:
    """The comparison above can fail: it tells trainings apart that differ in one step."""
    assert not torch.equal(
        trainings.train(tmp_path / "a", 5)["student.0.weight"],
        trainings.train(tmp_path / "b", 6)["student.0.weight"],
    )


def test_a_line_of_metrics_cut_short_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, 1, {"loss": 3.0})
    with path.open("a") as stream:
        stream.write('{"step": 2, "lo')
    append_metrics(path, 3, {"loss": 1.0})
    with path.open("a") as stream:
        stream.write('{"step": 4')
    assert read_metrics(path) == {"loss": [3.0, 1.0], "step": [1, 3]}


def test_overwriting_a_run_behind_a_link_empties_its_folder(tmp_path: Path) -> None:
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir()
    (disk / ".DS_Store").write_text("Finder")  # a folder that looks empty may be taken
    link.symlink_to(disk)
    fabric = launch("cpu")
    opened = {"recipe": "a", "config": {}, "data": {}, "fabric": fabric}
    first = Run.open(link, **opened, seed=0)
    first.stage("train").finish(told=1)
    again = Run.open(link, **opened, seed=1, existing="overwrite")
    assert link.is_symlink() and not again.stage("train").done


@pytest.mark.parametrize("linked", [False, True])
def test_an_overwriting_that_was_killed_leaves_a_folder_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    place = tmp_path / "run"
    if linked:
        (tmp_path / "disk").mkdir()
        place.symlink_to(tmp_path / "disk")
    opened = {"recipe": "a", "config": {}, "data": {}, "fabric": launch("cpu")}
    Run.open(place, **opened, seed=0).stage("train").finish()

    def killed_midway(folder: Path, **_: object) -> None:
        (folder / "run.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("morula.engine.run.shutil.rmtree", killed_midway)
        with pytest.raises(KeyboardInterrupt):
            Run.open(place, **opened, seed=1, existing="overwrite")
    assert not Run.open(place, **opened, seed=1, existing="overwrite").stage("train").done


def test_a_training_whose_run_was_overwritten_writes_nothing_into_the_new_one(tmp_path: Path) -> None:
    opened = {"recipe": "a", "config": {}, "data": {}, "fabric": launch("cpu")}
    old_run = Run.open(tmp_path / "run", **opened, seed=0)
    old = old_run.stage("train")
    new = Run.open(tmp_path / "run", **opened, seed=1, existing="overwrite")
    layer = TrainState(layer=torch.nn.Linear(1, 1))
    for work in (old.finish, lambda: old.checkpoint(layer), lambda: old_run.stage("tune")):
        with pytest.raises(UsageError, match="another training took this folder"):
            work()
    assert not (tmp_path / "run" / "1-train").exists()
    assert not new.stage("train").done


def stage(path: Path, **inputs: int) -> Stage:
    return Run.open(path, recipe="a", config={}, data={}, seed=0, fabric=launch("cpu")).stage(
        "train", **inputs
    )


def test_a_mark_that_a_power_cut_left_empty_is_none(tmp_path: Path) -> None:
    stage(tmp_path).finish(told=1)
    assert stage(tmp_path).done
    (tmp_path / "1-train" / "done.json").write_text("")
    assert not stage(tmp_path).done


def test_a_checkpoint_that_a_kill_cut_short_goes_when_the_stage_goes_on(tmp_path: Path) -> None:
    with atomic_path(stage(tmp_path).path / "state.pt") as half:
        half.write_bytes(b"whole")
    half.write_bytes(b"half")  # as SIGKILL leaves it
    assert (stage(tmp_path).path / "state.pt").exists() and not half.exists()


def test_a_checkpoint_of_a_training_that_was_overwritten_is_refused(tmp_path: Path) -> None:
    state = TrainState(layer=torch.nn.Linear(1, 1))
    kept = stage(tmp_path / "new", inputs=2)
    kept.checkpoint(state)
    kept.restore(state)
    old = stage(tmp_path / "old", inputs=1)
    old.checkpoint(state)
    shutil.copy(old.path / "state.pt", kept.path)
    with pytest.raises(DataError, match=r"state\.pt: the checkpoint is of another training"):
        kept.restore(state)
    torch.save(state.state_dict(), kept.path / "state.pt")  # as Morula saved it before
    kept.restore(state)
