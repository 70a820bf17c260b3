"""Benchmarks are scripts: how a test gets at what is in them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def loaded(monkeypatch: pytest.MonkeyPatch, folder: str, name: str) -> ModuleType:
    """A script of `benchmarks/FOLDER`, which finds those beside it by their names until the test ends."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module
