"""Attention U-Net and Attention Y-Net as in the published code (Franco-Barranco et al., CMPB 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.recipes.emda.networks.sides import require_sides

__all__ = ["AttentionUNet", "AttentionYNet"]

DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.3)
"""Per level, the bottleneck last."""


class AttentionUNet(nn.Module):
    """Attention U-Net 2D without normalisation; 1,985,061 parameters at the published width of 16.

    The published gate differs from that of Oktay et al. (2018): it scales the decoder's feature u by
    psi(u, skip) and concatenates u with u * psi. The skip itself is never concatenated.

    Args:
        width: channels of the first of five levels; each level doubles them.

    Attributes:
        encoder: four levels, up to and including the last pooling.
        bottleneck: the fifth level.
        segmentation: decoder with gates, and the last convolution.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.encoder = _Encoder(widths[:4], nn.Dropout)
        self.bottleneck = _block(widths[3], widths[4], DROPOUT[4], nn.Dropout)
        self.segmentation = _GatedDecoder(widths, nn.Dropout)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(b, 1, y, x)` of an image `(b, 1, y, x)` scaled to [0, 1].

        Raises:
            ValueError: a side is no multiple of 16.
        """
        require_sides(image, multiple=16, at_least=16)
        deep, skips = self.encoder(image)
        return self.segmentation(self.bottleneck(deep), skips)


class AttentionYNet(nn.Module):
    """Attention U-Net with a second decoder that reconstructs the image; 10,199,558 parameters at width 32.

    Dropout removes whole channels. The parts are modules, so that a step of the curriculum freezes one with
    `network.encoder.requires_grad_(False)`.

    Args:
        width: channels of the first of five levels; each level doubles them.

    Attributes:
        encoder: four levels, up to and including the last pooling (`bottle_neck` in the published code).
        bottleneck: the fifth level, up to the fork.
        segmentation: decoder with gates, and the last convolution.
        reconstruction: decoder without skips, and the last convolution.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.encoder = _Encoder(widths[:4], nn.Dropout2d)
        self.bottleneck = _block(widths[3], widths[4], DROPOUT[4], nn.Dropout2d)
        self.segmentation = _GatedDecoder(widths, nn.Dropout2d)
        self.reconstruction = _PlainDecoder(widths, nn.Dropout2d)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstructed image and the mask's logits, both `(b, 1, y, x)`, of an image in [0, 1].

        Raises:
            ValueError: a side is no multiple of 16.
        """
        fork, skips = self._fork(image)
        return self.reconstruction(fork), self.segmentation(fork, skips)

    def segment(self, image: Tensor) -> Tensor:
        """The logits alone, for what needs no reconstruction.

        Raises:
            ValueError: a side is no multiple of 16.
        """
        return self.segmentation(*self._fork(image))

    def _fork(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        require_sides(image, multiple=16, at_least=16)
        deep, skips = self.encoder(image)
        return self.bottleneck(deep), skips


class _Encoder(nn.Module):
    def __init__(self, widths: Sequence[int], dropout: type[nn.Module]) -> None:
        super().__init__()
        pairs = pairwise([1, *widths])
        self.blocks = nn.ModuleList(
            _block(above, below, DROPOUT[level], dropout) for level, (above, below) in enumerate(pairs)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for block in self.blocks:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        return x, skips


class _GatedDecoder(nn.Module):
    def __init__(self, widths: Sequence[int], dropout: type[nn.Module]) -> None:
        super().__init__()
        levels = list(enumerate(pairwise(widths)))[::-1]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for _, (above, below) in levels)
        self.gates = nn.ModuleList(_Gate(above) for _, (above, _) in levels)
        self.blocks = nn.ModuleList(
            _block(2 * above, above, DROPOUT[level], dropout) for level, (above, _) in levels
        )
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        for up, gate, block, skip in zip(self.ups, self.gates, self.blocks, reversed(skips), strict=True):
            x = up(x)
            x = block(torch.cat([x, gate(x, skip)], dim=1))
        return self.head(x)


class _PlainDecoder(nn.Module):
    def __init__(self, widths: Sequence[int], dropout: type[nn.Module]) -> None:
        super().__init__()
        levels = list(enumerate(pairwise(widths)))[::-1]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for _, (above, below) in levels)
        self.blocks = nn.ModuleList(
            _block(above, above, DROPOUT[level], dropout) for level, (above, _) in levels
        )
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(x))
        return self.head(x)


class _Gate(nn.Module):
    """u * psi with psi = sigmoid(conv(relu(conv(skip) + conv(u)))), as published."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(channels, channels, 1)
        self.decoder = nn.Conv2d(channels, channels, 1)
        self.psi = nn.Conv2d(channels, 1, 1)

    def forward(self, u: Tensor, skip: Tensor) -> Tensor:
        return u * torch.sigmoid(self.psi(F.relu(self.skip(skip) + self.decoder(u))))


def _block(channels_in: int, channels_out: int, rate: float, dropout: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.ELU(inplace=True),
        dropout(rate),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        nn.ELU(inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    """Keras' defaults: he_normal (truncated at two deviations) for 3x3, glorot_uniform elsewhere."""
    if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return
    if module.kernel_size == (3, 3):
        deviation = math.sqrt(2 / (9 * module.in_channels)) / 0.87962566
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    else:
        nn.init.xavier_uniform_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
