"""What is told and refused of stacks and traces before anything is trained or traced."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from morula.core.errors import DataError, UsageError
from morula.core.tree import Tree
from morula.core.types import Axes, Record, Volume, Voxel
from morula.data import load_traced
from morula.workflows.tracing import check_sizes, rooted, survey_traced, why_traced
from synthetic import save_traced

SIZE = Voxel(z=3000.0, y=1000.0, x=1000.0)


def stack(depth: int = 10, size: Voxel | None = SIZE) -> Record:
    return Record("a", Volume(np.zeros((depth, 20, 20), np.uint8), Axes("zyx"), "a.tif", voxel=size))


def test_a_root_is_checked_before_anything_is_traced() -> None:
    model: Any = SimpleNamespace(traced=None)
    large, small = stack(), stack(5)
    with pytest.raises(UsageError, match="outside the stack of 5 x 20 x 20"):
        rooted(model, (7, 3, 3), [small])
    with pytest.raises(UsageError, match="one root for 2 stacks"):
        rooted(model, (2, 3, 3), [large, small])


@pytest.mark.parametrize(("x", "is_near"), [(9, True), (73, False)])
def test_a_root_far_from_the_neuron_is_told_with_its_distance(x: int, is_near: bool) -> None:
    tree = Tree.of([[7, 3, x]], [-1])
    model: Any = SimpleNamespace(traced=lambda volume, root: SimpleNamespace(tree=tree))
    predict = rooted(model, (7, 3, 3), [stack()])
    with nullcontext() if is_near else pytest.raises(UsageError, match=r"70 voxels from .* of a\.tif"):
        assert predict(stack().image).tree is tree


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
