"""What a report shows of a stack in which no neuron was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import load_traced, read_swc, write_traces
from morula.data.branches import branch_rows, write_branches
from morula.workflows.evaluate import evaluate
from morula.workflows.tracing_report import branch_tables, neuron_table, trace_overlays
from synthetic import save_traced, traced_stack

SIZE = Voxel(z=3000.0, y=1000.0, x=1000.0)


def test_no_neuron_is_shown_and_scored_as_nothing_found(tmp_path: Path) -> None:
    images, labels = save_traced(tmp_path, 1, 1)
    (record,), _ = load_traced(images, labels, suffix="_gold", voxel=SIZE)
    folder, known = tmp_path / "found" / record.id, tmp_path / "known"
    for place, tree in ((folder, Tree.of([], [])), (known, traced_stack(0)[1])):
        place.mkdir(parents=True)
        write_traces(place, tree, SIZE)
    truth = known / "trace.voxel.swc"
    views = list(trace_overlays(record.id, record.image, folder, truth, "worst", 0.0, "f1_4"))
    assert len(views) == 3
    assert views[0].caption.startswith("0 nodes, 0 tips, 0 branch points, 0 µm")
    assert neuron_table([folder]).rows == ((record.id, 0, 0, 0, 0.0, 0.0),)
    scores = evaluate(folder / "trace.voxel.swc", truth, kind="swc")["mean"]
    assert scores["f1_4"] == scores["recall_4"] == 0
    assert scores["esa"] > 10


def test_a_neuron_is_measured_in_micrometres(tmp_path: Path) -> None:
    tree = Tree.of([[0, 0, 0], [0, 0, 8], [0, 6, 8], [4, 0, 8]], [-1, 0, 1, 1], [2, 4, 2, 2])
    write_traces(tmp_path / "a", tree, Voxel(z=2000.0, y=500.0, x=500.0))
    assert neuron_table([tmp_path / "a"]).rows == (("a", 4, 3, 2, 4 + 3 + 8, 1.25),)


def test_every_branch_is_a_row_of_a_table_beside_the_trace(tmp_path: Path) -> None:
    chain = [[0, 0, x] for x in range(5)]
    tree = Tree.of([*chain, [0, 3, 4], [0, 6, 4], [2, 0, 4], [9, 9, 9]], [-1, 0, 1, 2, 3, 4, 5, 4, -1], 2.0)
    folder = tmp_path / "predictions" / "a b"
    write_traces(folder, tree, Voxel(z=2000.0, y=500.0, x=500.0))
    assert (folder / "branches.csv").read_text().splitlines() == [
        "branch,parent,start,end,nodes,length_um,mean_radius_um",
        "1,-1,root,branch point,4,2.0,1.0",
        "2,1,branch point,tip,2,3.0,1.0",
        "3,1,branch point,tip,1,4.0,1.0",
    ]
    assert len(branch_rows(tree)) == neuron_table([folder]).rows[0][2]
    for beside, place in (("report", "../predictions/a%20b"), ("predictions", "a%20b")):
        links = branch_tables([folder, tmp_path], tmp_path / beside)
        assert links == {"a b": f"{place}/branches.csv"}
    write_branches(tmp_path / "none.csv", Tree.of([], []))
    assert len((tmp_path / "none.csv").read_text().splitlines()) == 1


def test_a_fork_at_the_root_and_trees_of_a_forest() -> None:
    forest = Tree.of([[0, 0, 0], [0, 0, 1], [0, 1, 0], [5, 0, 0], [5, 0, 2]], [-1, 0, 0, -1, 3])
    assert [row[:4] for row in branch_rows(forest)] == [
        (1, -1, "root", "tip"),
        (2, -1, "root", "tip"),
        (3, -1, "root", "tip"),
    ]


def test_a_truth_without_nodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.swc").write_text("# nothing\n")
    with pytest.raises(DataError, match="no node"):
        read_swc(tmp_path / "empty.swc")
