"""Who teaches in each round of self-training, and how much of a volume."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morula.core.rng import Rng
from morula.core.types import Array
from morula.engine import Run, launch
from morula.tasks.neurons import Decode, Dense, Finetune, Network, SelfTraining, Unlabelled, self_train
from synthetic import neurites

SETTINGS = SelfTraining(steps=4, rounds=2)
SHORT = Finetune(batch=1, crop=(8, 16, 16))


def opened(path: Path) -> Run:
    return Run.open(path, recipe="mscon", config={}, data={}, seed=0, fabric=launch("cpu"))


def volumes(*images: Array) -> Unlabelled:
    return Unlabelled(tuple(images), True, Network(widths=(4, 6)))


def test_a_watershed_teaches_the_first_round_and_the_network_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("morula.tasks.neurons.self_training")
    learned: list[Dense] = []
    starts: list[Any] = []

    def finetuned(
        run: Run, stage: Any, parts: list[Dense], settings: Finetune, start: Any, **given: Any
    ) -> Any:
        learned.extend(parts)
        starts.append(start)
        assert settings.steps == 2
        return plain(run, stage, parts, settings, start, **given)

    plain = module.finetuned
    monkeypatch.setattr(module, "finetuned", finetuned)
    marked = np.arange(24 * 48 * 56, dtype=np.int32).reshape(24, 48, 56) + 1
    monkeypatch.setattr(module, "_neurons_found", lambda *_, **__: marked)
    image = neurites(0)[0].astype(np.float32) / 255
    found = self_train(opened(tmp_path), volumes(image), None, SETTINGS, SHORT, Decode())
    first, second = (part.labels for part in learned)
    assert 1 < first.max() < 200
    assert np.array_equal(second, marked)
    assert starts[0] is None and starts[1] is not None and found is not None
    assert found.tensors["out.bias"].shape == (9,)


def test_without_a_step_the_start_is_what_comes_back(tmp_path: Path) -> None:
    image = np.zeros((8, 16, 16), np.float32)
    none = SelfTraining(steps=0)
    assert self_train(opened(tmp_path), volumes(image), None, none, SHORT, Decode()) is None
    assert not list(tmp_path.glob("*-self-training-*"))


def test_of_a_large_volume_some_boxes_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = import_module("morula.tasks.neurons.self_training")
    monkeypatch.setattr(module, "_PIECE", (4, 8, 8))
    large = np.arange(10 * 20 * 8, dtype=np.float32).reshape(10, 20, 8)
    small = np.zeros((4, 7, 8), np.float32)
    found = module._pieces((large, small), Rng(0, "self-training"))
    assert [piece.shape for _, piece in found] == [(4, 8, 8)] * module._PIECES + [small.shape]
    assert len({corner for corner, _ in found}) > 1
    assert all(piece[0, 0, 0] == large[corner] for corner, piece in found[:-1])
    again = module._pieces((large, small), Rng(0, "self-training"))
    assert [corner for corner, _ in found] == [corner for corner, _ in again]
