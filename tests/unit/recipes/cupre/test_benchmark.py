"""What the committed results of cupre's benchmark say is what its pages say."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[4] / "benchmarks" / "cupre"


def loaded(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_the_pages_follow_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, "protocol")
    table, label_next = loaded(monkeypatch, "table"), loaded(monkeypatch, "label_next")
    assert table.table(FOLDER / "results") == (FOLDER / "README.md").read_text()
    kept = json.loads((FOLDER / "label_next.json").read_text())
    assert label_next.table(kept) == (FOLDER / "label_next.md").read_text()


def test_labelling_what_is_ranked_first_was_better_than_at_random() -> None:
    """Mean over five seeds, each with as many labels and the mean of several random draws."""
    seeds = json.loads((FOLDER / "label_next.json").read_text())["seeds"].values()
    assert len(seeds) >= 5
    for added in next(iter(seeds))["advice"]:
        gains = [each["advice"][added][0] - np.mean(each["random"][added]) for each in seeds]
        assert np.mean(gains) > 0
