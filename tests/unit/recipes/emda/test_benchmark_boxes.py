"""The benchmark's in-domain upper bound is tested on voxels that it was not trained on."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from benchmark_scripts import loaded
from morula.core.types import Axes, Record, Volume


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded(monkeypatch, "emda", "table")


@pytest.mark.parametrize("shape", [(3, 200, 100), (3, 100, 201)])
def test_train_and_test_boxes_lie_apart(table: ModuleType, shape: tuple[int, ...]) -> None:
    taken = np.zeros(shape, int)
    taken[table.upper_half(shape)] += 1
    taken[table.lower_half(shape)] += 2
    assert set(np.unique(taken)) == {0, 1, 2}
    assert (taken == 0).any(axis=(0, 2)).sum() == table.GAP


def test_a_part_carries_its_own_labels(table: ModuleType) -> None:
    image = np.arange(3 * 200 * 100, dtype=np.uint16).reshape(3, 200, 100)
    record = Record("v", Volume(image, Axes("zyx"), "v"), lambda: image.astype(int))
    box = table.lower_half(image.shape)
    half = table.part(record, box, "target")
    assert half.labels is not None
    assert np.array_equal(half.image.read(), half.labels())
    assert np.array_equal(half.image.read(), image[box])
