"""The benchmark's in-domain upper bound is tested on voxels that it was not trained on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from morula.core.types import Axes, Record, Volume

TABLE = Path(__file__).parents[4] / "benchmarks" / "emda" / "table.py"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TABLE.parent))
    spec = importlib.util.spec_from_file_location("emda_table", TABLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "emda_table", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shape", [(3, 200, 100), (3, 100, 201)])
def test_train_and_test_boxes_lie_apart(table: ModuleType, shape: tuple[int, ...]) -> None:
    taken = np.zeros(shape, int)
    taken[table.left_half(shape)] += 1
    taken[table.right_half(shape)] += 2
    assert set(np.unique(taken)) == {0, 1, 2}
    longer = int(np.argmax(shape))
    counts = (taken == 0).any(axis=tuple(axis for axis in range(3) if axis != longer)).sum()
    assert counts == table.GAP


def test_a_part_carries_its_own_labels(table: ModuleType) -> None:
    image = np.arange(3 * 200 * 100, dtype=np.uint16).reshape(3, 200, 100)
    record = Record("v", Volume(image, Axes("zyx"), "v"), lambda: image.astype(int))
    box = table.right_half(image.shape)
    half = table.part(record, box, "target")
    assert half.labels is not None
    assert np.array_equal(half.image.read(), half.labels())
    assert np.array_equal(half.image.read(), image[box])
