"""Momentum contrast that was stopped ends with the weights, keys and moments of one that was not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from morula.core.rng import Rng
from morula.engine import Run, TrainState, fit, launch, seeded, update
from morula.losses import info_nce
from morula.ssl import KeyQueue, MomentumEncoder, Projection

STEPS, BATCH = 12, 4


def train(path: Path, *, stop_at: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    fabric = launch("cpu", "32-true")
    run = Run.open(path, recipe="moco", config={}, data={}, seed=seed, fabric=fabric)
    stage = run.stage("pretrain")
    with seeded(stage.rng("weights")):
        query = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), Projection(6, 4))
    key, queue = MomentumEncoder(query, parts=2), KeyQueue(10, 4, stage.rng("queue"))
    model, optimiser = fabric.setup(query, torch.optim.SGD(query.parameters(), 0.1, momentum=0.9))
    state = TrainState(query=model, key=key, queue=queue, optimiser=optimiser)
    views = stage.rng("views")

    def batches(index: int) -> Tensor:
        return torch.from_numpy(views.at(index).standard_normal((2, BATCH, 1, 8, 8), dtype="float32"))

    def step(batch: Tensor) -> dict[str, Tensor]:
        if state.step == stop_at:
            raise KeyboardInterrupt
        images = torch.arange(BATCH) + state.step % 3
        q = model(batch[0])
        key.follow(query, 0.9)
        k = key(batch[1], torch.randperm(BATCH))
        loss = info_nce(q, k, queue.keys.clone(), 0.2, queue.same(images))
        update(fabric, optimiser, loss)
        queue.push(k, images)
        return {"loss": loss.detach()}

    fit(step, batches, state, STEPS, stage, save_seconds=0.0)
    parts = {"query": query, "key": key, "queue": queue}
    return {f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}


def test_resume_is_exact(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_at=7)
    resumed = train(tmp_path / "stopped")
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert int(whole["queue.place"]) == STEPS * BATCH % 10
    other = train(tmp_path / "other", seed=1)
    assert not torch.equal(whole["queue.keys"], other["queue.keys"])


def test_nothing_of_it_is_random_but_by_the_seed() -> None:
    assert torch.equal(KeyQueue(4, 2, Rng(5)).keys, KeyQueue(4, 2, Rng(5)).keys)
