"""A config file beside options that say something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('recipe = ["psm"]', "is not a name"),
        ("preset = 3", "is not a name"),
        ("config = 3", "is not a table"),
    ],
)
def test_a_file_with_a_value_of_another_type_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told):
        plan(tmp_path, config=file)


def test_a_folder_of_which_some_images_say_their_size_is_told(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 200, (64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", grey, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    tifffile.imwrite(tmp_path / "b.tif", grey)
    assert any(told.startswith("1 of 2 images say how large") for told in plan(tmp_path).warnings)
