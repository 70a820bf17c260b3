"""The DIADEM metric against the official program, version 2.1: scores, misses and extra nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data.swc import read_swc
from morula.metrics import Weighed, diadem_score
from morula.workflows.evaluate import evaluate

pytestmark = pytest.mark.real


def located(root: Path, name: str) -> Path:
    return root / name[2:] if name.startswith("@/") else root / "metric_cases/open" / name


def cases(root: Path) -> list[dict[str, Any]]:
    found = json.loads((root / "metric_cases/open/diadem/expected.json").read_text())["cases"]
    assert len(found) >= 12
    assert all(case["args"] == "-D 5" for case in found)
    return found


def trees(root: Path, case: dict[str, Any]) -> tuple[Tree, Tree]:
    pred, truth = (read_swc(located(root, case[name])).tree for name in ("test", "gold"))
    return pred, truth


@pytest.mark.parametrize(
    ("weights", "key"), [("degree", "jar_score"), ("uniform", "jar_score_uniform_weights")]
)
def test_scores(weights: Literal["degree", "uniform"], key: str, real_data: Path) -> None:
    for case in cases(real_data):
        if key in case:
            found = diadem_score(*trees(real_data, case), weights=weights).score
            assert found == pytest.approx(case[key], abs=5.001e-4), case["test"]


def test_misses_and_extra_nodes_of_the_example(real_data: Path) -> None:
    """As the program's readme lists them: x, y, z and the weight."""
    pred, truth = trees(real_data, cases(real_data)[0])
    found = diadem_score(pred, truth)
    assert listed(truth, found.misses) == [
        (143.56, 237.16, 46.733, 2),
        (139.21, 238.6, 48.066, 1),
        (418.35, 163.83, 40.641, 1),
    ]
    assert listed(pred, found.extra) == [
        (403.51, 158.6, 37, 1),
        (400.35, 161.83, 38.998, 1),
        (401.3, 159.26, 32.202, 1),
    ]


def test_evaluate_tells_it(real_data: Path) -> None:
    for case in cases(real_data)[:2]:
        paths = [located(real_data, case[name]) for name in ("test", "gold")]
        sized = evaluate(*paths, kind="swc", voxel=Voxel(z=3034.0, y=1000.0, x=1000.0))
        for found in (evaluate(*paths, kind="swc"), sized):
            assert found["mean"]["diadem"] == pytest.approx(case["jar_score"], abs=5.001e-4)


def listed(tree: Tree, nodes: tuple[Weighed, ...]) -> list[tuple[float, ...]]:
    return [(*np.round(tree.points[row, ::-1], 3).tolist(), weight) for row, weight in nodes]
