"""The choice of the device where the machine has its own ideas."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from morula.engine import launch


def test_one_process_where_slurm_is_installed_is_no_reason_for_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert launch("cpu").world_size == 1
