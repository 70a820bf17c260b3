"""A config file beside options that say something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from morula.core.errors import UsageError
from morula.workflows.plan import plan


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('recipe = "psm"\n[config]\nsteps = 5\n', "says recipe psm"),
        ("steps = 5\n[config]\nbatch = 2\n", "steps above the table"),
    ],
)
def test_a_file_and_options_that_disagree_are_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told):
        plan(tmp_path, recipe="cupre", config=file)
