"""Losses of affinities, with the weight that balances "same object" against "border"."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["balance", "weighted_bce", "weighted_mse"]

_LEAST, _MOST = 0.05, 0.99  # share of positives beyond which the weights grow no further


def balance(target: Tensor, known: Tensor | None = None) -> Tensor:
    """The weight of each affinity, so that both kinds count alike; taken over the whole batch at once.

    With f the share of positives, clipped to [0.05, 0.99]: if f > 0.5 negatives weigh f / (1 - f), else
    positives weigh (1 - f) / f; the others weigh 1 (`weight_binary_ratio` of the published code).

    Args:
        target: `(b, c, z, y, x)`, 0 or 1.
        known: which affinities count, shaped like `target`; all by default.

    Returns:
        Shaped like `target`, 0 where unknown.
    """
    positive = target > 0.5
    mask = torch.ones_like(positive) if known is None else known > 0
    share = float((positive & mask).sum() / mask.sum().clamp(min=1))
    share = min(max(share, _LEAST), _MOST)
    on, off = (1.0, share / (1 - share)) if share > 0.5 else ((1 - share) / share, 1.0)
    weight = torch.where(positive, on, off)
    return weight * mask


def weighted_mse(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """sum w (p - t)^2 / (B D H W): channels add up, as in the published code.

    Args:
        probability: `(b, c, z, y, x)` in [0, 1], after the sigmoid.
        target: the same shape, 0 or 1.
        weight: the same shape; 0 leaves an affinity out.
    """
    return (weight * (probability - target) ** 2).sum() / _voxels(target)


def weighted_bce(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """sum w BCE(sigmoid(z), t) / (B D H W), computed from logits, which stays finite.

    Args:
        logits: `(b, c, z, y, x)`, before the sigmoid.
        target: the same shape, 0 or 1.
        weight: the same shape; 0 leaves an affinity out.
    """
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (weight * each).sum() / _voxels(target)


def _voxels(target: Tensor) -> int:
    return target.shape[0] * target[0, 0].numel()
