"""What is told and refused of stacks and traces before anything is trained or traced."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError, UsageError
from morula.core.tree import Tree
from morula.core.types import Axes, Record, Volume, Voxel
from morula.data import load_traced, write_swc
from morula.workflows.tracing import check_sizes, looks_inverted, rooted, survey_traced, why_traced
from synthetic import save_traced, traced_stack

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


def test_a_trace_that_is_hardly_one_is_doubted(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 3, 3)
    tree = traced_stack(0)[1]
    write_swc(labels / "n0_gold.swc", Tree.of([tree.points[0], tree.points[:2].mean(axis=0)], [-1, 0]))
    records, _ = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    _, (doubt,) = why_traced(survey_traced(records), "vit3d", asked=False)
    assert doubt.startswith("The trace of n0 is ")
    assert "voxels long: what it leaves out of the neuron is learned as background." in doubt


def seen(image: np.ndarray) -> Volume:
    return Volume(image, Axes("zyx"), "a.tif", voxel=SIZE)


def test_dark_neurites_on_a_bright_field_are_doubted() -> None:
    image = traced_stack(0)[0]
    (doubt,) = looks_inverted(seen(255 - image))
    assert doubt.startswith("a.tif looks like dark neurites on a bright field")
    assert "Edit > Invert" in doubt
    assert looks_inverted(seen(image)) == []
    assert looks_inverted(seen(np.zeros_like(image))) == []


def test_voxels_outside_of_a_turned_stack_are_no_dark_neurites() -> None:
    image = traced_stack(0)[0] // 8 + 100
    image[:, :, 50:] = 0
    assert looks_inverted(seen(image)) == []


@pytest.mark.real
def test_no_published_stack_looks_dark_on_bright(real_data: Path) -> None:
    stacks = sorted((real_data / "lm_diadem_op" / "open").glob("*.tif"))
    assert len(stacks) == 6
    for path in stacks:
        assert looks_inverted(seen(tifffile.imread(path))) == [], path.name
