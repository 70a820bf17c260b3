"""Losses as pure functions of tensors."""

from morula.losses.affinity import balance, weighted_bce, weighted_mse
from morula.losses.contrastive import info_nce
from morula.losses.overlap import soft_dice, weighted_mean

__all__ = ["balance", "info_nce", "soft_dice", "weighted_bce", "weighted_mean", "weighted_mse"]
