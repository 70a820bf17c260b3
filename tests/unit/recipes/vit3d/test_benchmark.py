"""The scripts of the benchmark: what they keep apart, and that its page says what its results say."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark_scripts import BENCHMARKS, loaded
from morula.core.errors import UsageError
from morula.core.tree import Tree
from morula.core.types import Array, Axes, Record, Volume
from morula.data import draw_tree
from morula.engine import Run, launch, read_json
from morula.recipes.vit3d.config import Vit3dConfig, presets

SHAPE = (5, 40, 60)
LONG = Tree.of([[2, 10, 5], [2, 10, 55]], [-1, 0])
SHORT = Tree.of([[2, 30, 5], [2, 30, 35]], [-1, 0])


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded(monkeypatch, "vit3d", "table")


def both() -> Array:
    return draw_tree(LONG, SHAPE, least=1.5) | draw_tree(SHORT, SHAPE, least=1.5)


def record(name: str) -> Record:
    """Two neurites of which the shorter one is the traced neuron."""
    return Record(name, Volume((200 * both()).astype(np.uint8), Axes("zyx"), name), trace=lambda: SHORT)


def test_the_page_follows_from_the_results(table: ModuleType) -> None:
    folder = BENCHMARKS / "vit3d"
    assert table.table(folder / "results") == (folder / "README.md").read_text()


class Recipe:
    """Learns nothing and finds both neurites."""

    presets = staticmethod(presets)

    def train(self, run: Run, records: Sequence[Record], config: Vit3dConfig) -> None:
        run.stage("train", steps=config.steps).finish(stacks=len(records))

    def load(self, path: Path, fabric: object) -> Any:
        assert fabric is not None
        assert read_json(path / "config.json")["steps"] == 7
        return SimpleNamespace(likely=lambda _: both())


@pytest.mark.parametrize("row", ["classical", "scratch"])
def test_the_true_root_helps_every_row_and_a_try_is_no_result(
    row: str, table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "head.md").write_text("# vit3d\n")
    monkeypatch.setattr(table, "HERE", tmp_path)
    monkeypatch.setattr(table, "load_recipe", lambda _: Recipe())
    folders = {"results": tmp_path / "results", "work": tmp_path / "work"}
    options = Namespace(budget=3.0, best=10.0, steps=7, device="cpu", data=tmp_path, **folders)
    train = [] if row == "classical" else [record("a")]
    table.measure(row, table.Fold(train, [record("b")]), 0, options)
    (kept,) = (tmp_path / "results").glob("*.json")
    assert kept.stem == ("scratch-1-a-7steps-0" if train else "classical")
    scores = read_json(kept)["stacks"]["b"]
    assert scores["root found"]["f1_4"] < 0.1
    assert scores["root given"]["f1_4"] > 0.9
    page = (tmp_path / "README.md").read_text()
    assert ("| 1 | - |" in page) == (row == "classical")  # one stack, and no seed where nothing learns
    assert "scratch |" not in page


def test_the_page_of_the_gain_follows_from_the_results(
    monkeypatch: pytest.MonkeyPatch, table: ModuleType
) -> None:
    folder = BENCHMARKS / "vit3d"
    gain = loaded(monkeypatch, "vit3d", "gain")
    assert gain.table(folder / "gain") == (folder / "gain.md").read_text()


def test_the_gain_is_told_stack_by_stack(
    monkeypatch: pytest.MonkeyPatch, table: ModuleType, tmp_path: Path
) -> None:
    gain = loaded(monkeypatch, "vit3d", "gain")
    monkeypatch.setattr(gain, "HERE", tmp_path)
    monkeypatch.setattr(gain, "load_recipe", lambda _: Recipe())
    folders = {"results": tmp_path / "results", "work": tmp_path / "work"}
    options = Namespace(device="cpu", data=tmp_path, **folders)
    fold, point = table.Fold([record("a")], [record("b"), record("c")]), gain.Point("7 steps", steps=7)
    monkeypatch.setattr(gain, "POINTS", (point,))
    gain.measure(point, "scratch", fold, 0, options)
    assert "7 steps" not in (tmp_path / "gain.md").read_text()  # the other network is missing yet
    gain.measure(point, "center", fold, 0, options)
    page = (tmp_path / "gain.md").read_text()
    assert page.count("| 7 steps | 2 |") == len(gain.MEASURES)
    assert page.count("| +0.000 ± 0.000 | +0.000 | 0 |") == len(gain.MEASURES)
    assert "scored on b, c" in page


def test_a_run_goes_on_with_its_own_config_and_stacks_alone(table: ModuleType, tmp_path: Path) -> None:
    fabric, config = launch("cpu"), presets()["smoke"]
    table.open_run(tmp_path / "run", 0, fabric, config, [record("a")]).stage("train")
    table.open_run(tmp_path / "run", 0, fabric, config, [record("a")])
    others = (config.model_copy(update={"lr": 1.0}), [record("a")]), (config, [record("a"), record("b")])
    for other in others:
        with pytest.raises(UsageError, match="another config, other images"):
            table.open_run(tmp_path / "run", 0, fabric, *other)
