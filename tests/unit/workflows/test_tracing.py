"""What is told and refused of stacks and traces before anything is trained or traced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from morula.core.errors import DataError, UsageError
from morula.core.types import Axes, Record, Volume, Voxel
from morula.data import load_traced
from morula.workflows.tracing import check_sizes, rooted, survey_traced, why_traced
from synthetic import save_traced

SIZE = Voxel(z=3000.0, y=1000.0, x=1000.0)


def stack(depth: int = 10, size: Voxel | None = SIZE) -> Record:
    return Record("a", Volume(np.zeros((depth, 20, 20), np.uint8), Axes("zyx"), "a.tif", voxel=size))


def test_a_root_is_checked_against_all_stacks_before_any_is_traced() -> None:
    model: Any = SimpleNamespace(traced=lambda volume, root: (volume, root))
    large, small = stack(), stack(5)
    predict: Any = rooted(model, (7, 3, 3), [large])
    assert predict(large.image) == (large.image, (7, 3, 3))
    with pytest.raises(UsageError, match="outside the stack of 5 x 20 x 20"):
        rooted(model, (7, 3, 3), [large, small])


def test_one_section_cannot_be_traced() -> None:
    check_sizes([stack()], None)
    with pytest.raises(DataError, match=r"a\.tif.*1 section"):
        check_sizes([stack(), stack(1)], None)


def test_what_was_mended_in_a_trace_is_told(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 2, 2)
    path = labels / "n0_gold.swc"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *[lines[-1]] * 5]) + "\n")
    records, _ = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    _, doubts = why_traced(survey_traced(records), "vit3d", asked=False)
    last = len(lines)
    assert doubts[0] == f"n0_gold.swc: Line {last + 1} repeats line {last} and was left out."
    assert doubts[3] == "2 more repairs of the trace of n0."
    assert [each for each in doubts if "n1" in each] == []
