"""How fast fine-tuning goes, and with which optimiser."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from morula.tasks.neurons import Finetune, Optimiser, optimiser_of
from morula.tasks.neurons.finetune import _pace


@pytest.mark.parametrize(
    ("name", "kind", "eps", "decay", "amsgrad"),
    [
        ("adamw", torch.optim.AdamW, 1e-8, 1e-3, False),
        ("adam", torch.optim.Adam, 1e-2, 1e-6, True),
        ("plain-adam", torch.optim.Adam, 1e-8, 0.0, False),
    ],
)
def test_optimisers_are_told_apart(
    name: Optimiser, kind: type[torch.optim.Optimizer], eps: float, decay: float, amsgrad: bool
) -> None:
    made = optimiser_of(nn.Linear(1, 1), name, 0.5)
    (group,) = made.param_groups
    assert type(made) is kind
    assert (group["lr"], group["eps"], group["weight_decay"], group["amsgrad"]) == (0.5, eps, decay, amsgrad)


@pytest.mark.parametrize("step", [0, 50, 99])
def test_either_adam_keeps_its_rate_and_clips_nothing(step: int) -> None:
    for name in ("adam", "plain-adam"):
        assert _pace(Finetune(optimiser=name, lr=0.5, steps=100), step) == (0.5, 0.0)
    rate, clip = _pace(Finetune(lr=0.5, steps=100), step)
    assert rate < 0.5 and clip == 1.0
