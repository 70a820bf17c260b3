"""The networks of the strategies. Every segmenter gives logits: apply `sigmoid` for probabilities."""

from morula.recipes.emda.networks.attention import AttentionUNet, AttentionYNet
from morula.recipes.emda.networks.cut import CutGenerator, PatchDiscriminator, PatchHeads, draw_positions
from morula.recipes.emda.networks.damt import DamtNet, FeatureDiscriminator, LabelDiscriminator
from morula.recipes.emda.networks.residual import ResidualUNet

__all__ = [
    "AttentionUNet",
    "AttentionYNet",
    "CutGenerator",
    "DamtNet",
    "FeatureDiscriminator",
    "LabelDiscriminator",
    "PatchDiscriminator",
    "PatchHeads",
    "ResidualUNet",
    "draw_positions",
]
