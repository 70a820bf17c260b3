"""What labels and self-found neurons teach together."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from morula.tasks.neurons import Block, Dense, Finetune, Network, Part, Problem


def test_self_found_neurons_teach_only_where_no_label_does(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = import_module("morula.tasks.neurons.learn")
    taught: list[list[Dense]] = []
    monkeypatch.setattr(module, "finetuned", lambda run, stage, parts, *_, **__: taught.append(parts))
    image, whole = np.zeros((12, 8, 8), np.float32), (slice(0, 8), slice(0, 8))
    truth = np.full((6, 8, 8), 7, np.int32)
    train, validation = Part((slice(3, 9), *whole), truth), Part((slice(9, 12), *whole), truth[:3] + 1)
    problem = Problem("a", Block(image, train, validation), True, (), Network())
    found = Dense(image[2:], np.full((10, 8, 8), 5, np.int32), (2, 0, 0))
    module._finetuned(None, None, problem, problem.block, None, Finetune(), [found])
    ((labelled, replayed),) = taught
    assert np.array_equal(labelled.labels, truth)
    assert replayed.labels[:, 0, 0].tolist() == [5] + [-1] * 6 + [5] * 3
    assert (found.labels == 5).all()
