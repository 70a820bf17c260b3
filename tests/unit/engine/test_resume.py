"""A training that was killed ends with the weights of one that was not."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

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
