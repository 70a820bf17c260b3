"""Losses as pure functions of tensors."""

from morula.losses.overlap import soft_dice, weighted_mean

__all__ = ["soft_dice", "weighted_mean"]
