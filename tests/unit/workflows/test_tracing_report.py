"""What a report shows of a stack in which no neuron was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import load_traced, read_swc, write_traces
from morula.workflows.evaluate import evaluate
from morula.workflows.tracing_report import neuron_table, trace_overlays
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


def test_a_truth_without_nodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.swc").write_text("# nothing\n")
    with pytest.raises(DataError, match="no node"):
        read_swc(tmp_path / "empty.swc")
