"""Two processes that train together do what one does, with every recipe, however they were started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import team
from commands import cli
from morula.engine import Weights, launch
from morula.workflows.run import run
from synthetic import save_folder, save_natural
from team import RECIPES, Job, Team

TOLERANCE = 1e-4  # of a scalar; sums are made in another order
SRC = Path(__file__).parents[2] / "src"
STOP = {"psm": ("train", 2), "mscon": ("finetune", 2)}


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(SRC), str(Path(team.__file__).parent)])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def seen(team: Team) -> list[Any]:
    return [json.loads(Path(f"{team.out}.{rank}").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def teams(folder: Path) -> dict[str, Team]:
    """All that two processes do in this file, done."""
    save_natural(folder / "natural")
    _alone(Job("mscon", folder / "grown", STOP["mscon"]))
    jobs = [Job(name, folder / "two" / name) for name in RECIPES]
    found = {
        "all": Team("torchrun", folder / "all", (*jobs, Job("psm", folder / "shrunk", STOP["psm"]))),
        "grown": Team("srun", folder / "resumed", (Job("mscon", folder / "grown"),)),
        "broken": Team("torchrun", folder / "broken", (Job("vit3d", folder / "never"),), breaks=True),
    }
    command = [sys.executable, str(team.__file__), *(each.text for each in found.values())]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return found


def _alone(job: Job) -> dict[str, Any]:
    return asdict(team.train(job, launch("cpu", "32-true")))


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "cupre natural"])
def test_two_processes_have_the_losses_of_one_at_the_same_batch(
    name: str, teams: dict[str, Team], tmp_path: Path
) -> None:
    first, second = (each[list(RECIPES).index(name)] for each in seen(teams["all"]))
    one = _alone(Job(name, tmp_path / "one"))
    assert first["trace"].keys() == one["trace"].keys()
    for stage, steps in one["trace"].items():
        if (name, stage) == ("cupre paper", "finetune"):
            continue  # each process draws proposals of its own images: see the test of scalars below
        for step, scalars in zip(first["trace"][stage], steps, strict=True):
            assert step == pytest.approx(scalars, rel=TOLERANCE, abs=TOLERANCE), stage
    assert first["trace"] == second["trace"]
    assert sorted(first["batches"]) == sorted(second["batches"]) == sorted(one["batches"])


@pytest.mark.parametrize("name", RECIPES)
def test_networks_averages_queues_and_optimisers_are_equal_on_all_processes(
    name: str, teams: dict[str, Team]
) -> None:
    first, second = (each[list(RECIPES).index(name)]["states"] for each in seen(teams["all"]))
    assert first == second
    assert len(set(first)) == len(first) > 0


def test_the_first_process_alone_writes(teams: dict[str, Team], folder: Path) -> None:
    """What is there is what one process leaves, and one line is logged."""
    names = {str(path.relative_to(folder / "two" / "psm")) for path in (folder / "two" / "psm").rglob("*")}
    _alone(Job("psm", folder / "one"))
    assert names == {str(path.relative_to(folder / "one")) for path in (folder / "one").rglob("*")}
    logged = (folder / "two" / "psm" / "5-train" / "metrics.jsonl").read_text().splitlines()
    assert len(logged) == 1


def test_what_two_processes_began_one_ends(teams: dict[str, Team], folder: Path, tmp_path: Path) -> None:
    begun = seen(teams["all"])[0][-1]["trace"]
    assert begun.keys() == {"activation", "train"} and len(begun["train"]) == STOP["psm"][1]
    ended = _alone(Job("psm", folder / "shrunk"))["trace"]
    _same({**begun, **ended, "train": begun["train"] + ended["train"]}, Job("psm", tmp_path / "whole"))


def test_what_one_process_began_two_end(teams: dict[str, Team], folder: Path, tmp_path: Path) -> None:
    ended = seen(teams["grown"])[0][0]["trace"]
    assert ended.keys() == {"finetune"} and len(ended["finetune"]) == 4 - STOP["mscon"][1]
    begun = _alone(Job("mscon", tmp_path / "begun", STOP["mscon"]))["trace"]
    _same({**begun, "finetune": begun["finetune"] + ended["finetune"]}, Job("mscon", tmp_path / "whole"))


def _same(trace: dict[str, list[dict[str, float]]], whole: Job) -> None:
    expected = _alone(whole)["trace"]
    assert trace.keys() == expected.keys()
    for stage, steps in expected.items():
        for step, scalars in zip(trace[stage], steps, strict=True):
            assert step == pytest.approx(scalars, rel=TOLERANCE, abs=TOLERANCE), stage


def test_a_process_that_dies_ends_the_others_with_an_error_that_says_so(
    teams: dict[str, Team], folder: Path
) -> None:
    told = json.loads((folder / "broken.0").read_text())
    assert told["error"].startswith("training: another of the 2 processes stopped")
    assert not (folder / "broken.1").exists()


def test_the_command_line_starts_the_second_process_itself(folder: Path) -> None:
    images, _ = save_folder(folder / "cells", 1, look="H&E", size=96, count=8)
    out, changes = folder / "run", ["steps=4", "crop=64", "rounds=0", "widths=[8,12]", "precision=32-true"]
    words = ["run", str(images), "--preset", "smoke", "--device", "cpu", "--json"]
    words += [word for change in changes for word in ("--set", change)]
    done = subprocess.run(
        [sys.executable, "-m", "morula", *words, "--devices", "2", "--out", str(out)],
        env=environment(), capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert list(json.loads(line)["images"]) == ["cells0"]
    told = done.stderr.splitlines()
    assert len(told) == len(set(told)) and "morula" not in done.stderr, done.stderr
    assert (out / "report" / "index.html").exists()
    alone = run(images, preset="smoke", device="cpu", assignments=changes, out=folder / "alone")
    one, two = (_weights(path) for path in (alone.path, out))
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name].float(), two[name].float(), atol=1e-3) for name in one)


def test_a_batch_that_cannot_be_split_is_refused_before_work_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, _ = save_folder(tmp_path, 1, size=96, count=8)
    out = tmp_path / "run"
    words = ("train", images, "--preset", "smoke", "--out", out, "--device", "cpu")
    code, _, err = cli(capsys, *words, "--set", "batch=3", "--devices", 2)
    assert code == 2 and "batch: 3 samples cannot be split evenly between 2 processes" in err
    code, _, err = cli(capsys, *words, "--nodes", 2)
    assert code == 2 and "neither torchrun nor srun started this process" in err
    code, _, err = cli(capsys, *words, "--devices", 0)
    assert code == 2 and "--devices" in err
    assert not out.exists()


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(Weights.load(path / "model" / "network.safetensors").tensors)
