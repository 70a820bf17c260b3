"""One optimiser update, the schedules and the moving average that recipes share."""

from __future__ import annotations

import math

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

__all__ = ["cosine", "ema_", "update"]


def update(
    fabric: Fabric,
    optimiser: torch.optim.Optimizer,
    loss: Tensor,
    *,
    lr: float | None = None,
    clip: float = 0.0,
) -> None:
    """Clears the gradients, back-propagates `loss`, clips and steps.

    Args:
        fabric: where the optimiser was set up.
        optimiser: holds the parameters to change.
        loss: a scalar.
        lr: learning rate of this step; None leaves the optimiser's own.
        clip: largest norm of all gradients together; 0 clips nothing.
    """
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    groups = optimiser.param_groups
    if clip > 0:
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], clip)
    if lr is not None:
        for group in groups:
            group["lr"] = lr
    optimiser.step()


def cosine(base: float, step: int, steps: int, *, warmup: int = 0) -> float:
    """Learning rate at `step`: a linear warm-up, then half a cosine down to zero (Loshchilov & Hutter, 2017).

    >>> [round(cosine(1.0, s, 100, warmup=10), 3) for s in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return base * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return base * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@torch.no_grad()
def ema_(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Moves the teacher's parameters towards the student's: t <- m t + (1 - m) s; buffers are copied.

    Args:
        teacher: changed in place; same architecture as `student`.
        student: left as it is.
        momentum: m in [0, 1].
    """
    for ours, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
        ours.lerp_(theirs, 1 - momentum)
    for ours, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        ours.copy_(theirs)
