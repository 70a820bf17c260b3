"""Stacks without labels: what can be done with them is told, of light and of electron microscopy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError
from morula.data import write_v3draw
from morula.workflows.plan import plan

STACK = np.arange(4 * 16 * 20, dtype=np.uint16).reshape(4, 16, 20)


@pytest.mark.parametrize("name", ["a.tif", "a.v3draw"])
@pytest.mark.parametrize("whole", [True, False])
def test_the_fix_names_traces_and_a_trained_run(tmp_path: Path, name: str, whole: bool) -> None:
    folder = tmp_path / "my stacks"
    folder.mkdir()
    if name.endswith(".tif"):
        tifffile.imwrite(folder / name, STACK, photometric="minisblack")
    else:
        write_v3draw(folder / name, STACK)
    images = folder if whole else folder / name
    with pytest.raises(DataError, match="a volume") as caught:
        plan(images)
    told = str(caught.value)
    assert "SWC traces with --labels" in told
    assert f"morula predict RUN '{images}' --voxel-size Z Y X" in told
    assert "--recipe mscon" in told
    assert ".png" not in told


def test_a_folder_with_other_files_is_told_of_as_before(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"no images here, only \.txt files"):
        plan(tmp_path)
