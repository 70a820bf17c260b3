"""The unit of a true trace is that of training, or one that both files share; else scoring is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import write_labels, write_swc, write_traces
from morula.workflows.evaluate import evaluate
from synthetic import traced_stack

FINE, COARSE = Voxel(z=1000.0, y=330.0, x=330.0), Voxel(z=3000.0, y=1000.0, x=1000.0)
TREE = traced_stack(0)[1]


def micrometres(tree: Tree, size: Voxel) -> Tree:
    assert size.z is not None
    return tree.scaled([edge / 1000 for edge in (size.z, size.y, size.x)])


@pytest.fixture(params=[FINE, COARSE])
def size(request: pytest.FixtureRequest) -> Voxel:
    return request.param


def predicted(folder: Path, size: Voxel, tree: Tree = TREE) -> Path:
    """What `predict` leaves of a stack `a`, and a folder for its true trace."""
    write_labels(folder / "pred/a/labels.tif", np.ones((10, 48, 64), np.uint8), voxel=size)
    write_traces(folder / "pred/a", tree, size)
    return folder / "pred"


def f1(pred: Path, truth: Tree, voxel: Voxel | None = None) -> float:
    write_swc(pred.parent / "truth/a.swc", truth)
    return evaluate(pred, pred.parent / "truth", kind="swc", voxel=voxel)["images"]["a"]["f1_2"]


def test_a_true_trace_of_a_predicted_stack_is_in_voxels_or_in_micrometres(
    tmp_path: Path, size: Voxel
) -> None:
    pred = predicted(tmp_path, size)
    for voxel in (None, size):
        assert f1(pred, TREE, voxel) == 1
        assert f1(pred, micrometres(TREE, size), voxel) > 0.999


def test_another_neuron_stays_in_voxels_and_none_too(tmp_path: Path) -> None:
    pred = predicted(tmp_path, COARSE, TREE.kept(np.arange(len(TREE)) < 2))
    assert 0.2 < f1(pred, TREE) < 0.8
    write_traces(pred / "a", Tree.of([], []), COARSE)
    assert f1(pred, TREE) == 0


def test_a_true_trace_outside_of_its_stack_is_refused_as_for_a_run(tmp_path: Path, size: Voxel) -> None:
    with pytest.raises(DataError, match=r"a\.swc: line \d+ puts a node at .* outside of 10 x 48 x 64 voxels"):
        f1(predicted(tmp_path, size), TREE.moved((0, 300, 0)))


def test_the_labels_beside_a_prediction_say_how_large_a_voxel_is(tmp_path: Path) -> None:
    pred = predicted(tmp_path, COARSE, TREE.moved((2, 0, 0)))
    write_swc(tmp_path / "truth/a.swc", TREE)
    told, given = (evaluate(pred, tmp_path / "truth", kind="swc", voxel=size) for size in (None, COARSE))
    assert told == given
    assert told["voxel_nm"] == {"a": [3000.0, 1000.0, 1000.0]}
    assert "warnings" not in told
    assert told["mean"]["f1_4"] < 0.5
    alone = evaluate(tmp_path / "truth/a.swc", tmp_path / "truth/a.swc", kind="swc")
    assert "voxel_nm" not in alone
    assert "No voxel size is known of a: a voxel counts as a cube" in alone["warnings"][0]


def test_what_was_mended_in_a_true_trace_and_what_diadem_leaves_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "truth.swc"
    path.write_text("1 0 0 0 0 1 -1\n2 0 30 0 0 1 1\n3 0 40 0 0 1 99\n4 0 40 10 0 1 3\n")
    told = evaluate(path, path, kind="swc", voxel=COARSE)["warnings"]
    parent = "truth.swc: Parent 99 of node 3 in line 3 is not in the file; the node became a root."
    assert told == [
        parent,
        parent,
        "truth.swc: 2 roots; DIADEM counts the tree of the first, 75 % of the length.",
    ]


def test_files_in_two_units_are_refused(tmp_path: Path, size: Voxel) -> None:
    voxels, lengths = tmp_path / "voxels.swc", tmp_path / "um.swc"
    write_swc(voxels, TREE)
    write_swc(lengths, micrometres(TREE, size))
    for pred, truth in ((voxels, lengths), (lengths, voxels)):
        with pytest.raises(DataError, match=r"um\.swc.*only where it is taken to be in micrometres"):
            evaluate(pred, truth, kind="swc", voxel=size)
    assert evaluate(lengths, lengths, kind="swc")["mean"]["f1_2"] == 1
    assert evaluate(voxels, voxels, kind="swc", voxel=size)["mean"]["f1_2"] == 1
