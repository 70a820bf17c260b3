"""A small training with all that a resume can lose: momentum, an average, dropout, augmentation, a schedule.

Run as a program it trains and dies (SIGKILL) at a given step: `python trainings.py RUN STEPS DIE_AT`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from morula.engine import Run, TrainState, cosine, ema_, fit, launch, seeded, update


def train(path: Path, steps: int, die_at: int | None = None) -> dict[str, torch.Tensor]:
    """Trains a small network in `path` and returns its weights and its average's."""
    fabric = launch("cpu", "32-true")
    run = Run.open(path, recipe="toy", config={"steps": steps}, data={}, seed=3, fabric=fabric)
    stage = run.stage("train")
    with seeded(run.rng("init")):
        student = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))
    teacher = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))
    teacher.load_state_dict(student.state_dict())
    optim = torch.optim.Adam(student.parameters(), lr=1e-2)
    student, optim = fabric.setup(student, optim)
    state = TrainState(student=student, teacher=teacher, optim=optim)
    stream = run.rng("batches")

    def batch(index: int) -> torch.Tensor:
        return torch.from_numpy(stream.at(index).normal(size=(4, 8)).astype(np.float32))

    def step(x: torch.Tensor) -> dict[str, torch.Tensor]:
        if state.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = (student(x).squeeze(1) - x.sum(1)).square().mean()
        update(fabric, optim, loss, lr=cosine(1e-2, state.step, steps, warmup=5), clip=1.0)
        ema_(teacher, student, 0.9)
        return {"loss": loss.detach()}

    fit(step, batch, state, steps, stage, save_seconds=0.0)
    weights = {f"teacher.{k}": v.clone() for k, v in teacher.state_dict().items()}
    return weights | {f"student.{k}": v.clone() for k, v in student.state_dict().items()}


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
