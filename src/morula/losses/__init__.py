"""Losses as pure functions of tensors."""

from morula.losses.affinity import balance, weighted_bce, weighted_mse
from morula.losses.contrastive import info_nce
from morula.losses.malis import Pairs, malis, malis_weights, maximin_pairs
from morula.losses.overlap import soft_dice, weighted_mean

__all__ = [
    "Pairs",
    "balance",
    "info_nce",
    "malis",
    "malis_weights",
    "maximin_pairs",
    "soft_dice",
    "weighted_bce",
    "weighted_mean",
    "weighted_mse",
]
