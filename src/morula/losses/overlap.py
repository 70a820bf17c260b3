"""Losses of maps, weighted pixel by pixel."""

from __future__ import annotations

from torch import Tensor

__all__ = ["soft_dice", "weighted_mean"]


def weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Mean of `loss` over pixels by `weight`; both `(b, y, x)`. 0 where no pixel counts."""
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def soft_dice(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice of two maps `(b, y, x)` in [0, 1], per image and then averaged (Milletari et al., 2016).

    Args:
        probability: predicted.
        target: wanted.
        weight: `(b, y, x)`, how much a pixel counts; 0 leaves it out.

    Returns:
        A scalar.
    """
    both = (probability * target * weight).sum(dim=(1, 2))
    either = (probability * weight).sum(dim=(1, 2)) + (target * weight).sum(dim=(1, 2))
    return (1 - (2 * both + 1) / (either + 1)).mean()
