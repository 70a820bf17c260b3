"""The network of each strategy, and what all of them are for prediction: grey values in, logits out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.networks import (
    AttentionUNet,
    AttentionYNet,
    CutGenerator,
    DamtNet,
    ResidualUNet,
)

__all__ = ["Translated", "layout", "network_of", "segment", "stretch"]

_CUT_BLOCKS = 9
_NARROW = 16  # channels


class Translated(nn.Module):
    """A segmenter behind a generator that gives the target the look of the source.

    Args:
        generator: images in [-1, 1] to images in [-1, 1].
        network: images in [0, 1] to logits.
    """

    def __init__(self, generator: CutGenerator, network: nn.Module) -> None:
        super().__init__()
        self.generator, self.network = generator, network

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(b, 1, y, x)` of a target image `(b, 1, y, x)` in [0, 1]."""
        return self.network(self.generator(image * 2 - 1) / 2 + 0.5)


def network_of(config: EmdaConfig) -> nn.Module:
    """An untrained network; torch's generator decides its weights."""
    width = config.width
    if config.strategy == "ynet":
        network: nn.Module = AttentionYNet(width)
    elif config.strategy == "damt":
        network = DamtNet(width)
    else:
        network = AttentionUNet(width) if config.network == "attention" else ResidualUNet(width=width)
    if config.strategy == "cut":
        network = Translated(CutGenerator(config.generator_width, _CUT_BLOCKS), network)
    return network.to(memory_format=layout(config))


def layout(config: EmdaConfig) -> torch.memory_format:
    """Channels last, a fifth faster on CPUs; but not for narrow networks.

    Below 16 channels the bf16 backward pass in that layout crashes on several threads (torch 2.15, batches of
    one image).
    """
    return torch.channels_last if config.width >= _NARROW else torch.contiguous_format


def segment(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What maps an image `(b, 1, y, x)` in [0, 1] to logits `(b, 1, y, x)`, whatever else a network gives."""
    if isinstance(network, AttentionYNet):
        return network.segment
    if isinstance(network, DamtNet):
        return lambda image: network.segment(stretch(image))
    return network


def stretch(image: Tensor) -> Tensor:
    """Each image `(b, 1, y, x)` between its extremes, as DAMT-Net takes it."""
    low, high = image.amin(dim=(2, 3), keepdim=True), image.amax(dim=(2, 3), keepdim=True)
    return (image - low) / (high - low).clamp(min=1e-6)
