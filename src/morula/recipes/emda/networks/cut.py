"""Generator, discriminator and patch heads of contrastive unpaired translation (Park et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.recipes.emda.networks.sides import require_sides

__all__ = ["CutGenerator", "PatchDiscriminator", "PatchHeads", "draw_positions"]


class CutGenerator(nn.Module):
    """Residual generator with anti-aliased resampling; images in and out are scaled to [-1, 1].

    Args:
        width: channels of the first convolution; 64 as published.
        blocks: residual blocks at a quarter of the resolution; 9 as published, at least 3.

    Attributes:
        feature_channels: channels of the features that `encode` gives, for `PatchHeads`.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        if blocks < 3:
            raise ValueError(f"the patch features need at least 3 residual blocks, not {blocks}")
        self.first = nn.Conv2d(1, width, 7)
        self.downs = nn.ModuleList(
            [nn.Conv2d(width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, 4 * width, 3, padding=1)]
        )
        self.blocks = nn.ModuleList(_Residual(4 * width) for _ in range(blocks))
        self.ups = nn.ModuleList(
            [nn.Conv2d(4 * width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 3, padding=1)]
        )
        self.last = nn.Conv2d(width, 1, 7)
        self.feature_channels = (1, 2 * width, 4 * width, 4 * width, 4 * width)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """The image `(b, 1, y, x)` in the other domain's style.

        Raises:
            ValueError: a side is no multiple of 4, or below 16.
        """
        x, _ = self._down(image)
        for block in self.blocks:
            x = block(x)
        for convolution in self.ups:
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = F.relu(F.instance_norm(convolution(x)))
        return torch.tanh(self.last(_reflect(x, 3)))

    def encode(self, image: Tensor) -> list[Tensor]:
        """Features that PatchNCE compares: layers 0, 4, 8, 12 and 16 of the published generator.

        They are the padded image, the two convolutions that double the width, the first and the middle
        residual block.

        Raises:
            ValueError: a side is no multiple of 4, or below 16.
        """
        x, features = self._down(image)
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number == 1 or number == (len(self.blocks) + 1) // 2:
                features.append(x)
            if len(features) == len(self.feature_channels):
                break
        return features

    def _down(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        require_sides(image, multiple=4, at_least=16)
        padded = _reflect(image, 3)
        x, features = F.relu(F.instance_norm(self.first(padded))), [padded]
        for convolution in self.downs:
            x = convolution(x)
            features.append(x)
            x = _halve(F.relu(F.instance_norm(x)))
        return x, features


class PatchDiscriminator(nn.Module):
    """PatchGAN that judges 70 px patches (Isola et al., 2017), with anti-aliased downsampling.

    Args:
        width: channels of the first convolution; 64 as published.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width, 8 * width, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(above, below, 4, padding=1) for above, below in pairwise(widths)
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Scores `(b, 1, y', x')`, one a patch, 1 = real, of an image `(b, 1, y, x)`; y' is about y / 8.

        Raises:
            ValueError: a side is below 32.
        """
        require_sides(image, at_least=32)
        first, *middle, last = self.convolutions
        x = _halve(F.leaky_relu(first(image), 0.2))
        for number, convolution in enumerate(middle, start=1):
            x = F.leaky_relu(F.instance_norm(convolution(x)), 0.2)
            x = _halve(x) if number < len(middle) else x
        return last(x)


class PatchHeads(nn.Module):
    """A two-layer perceptron per feature map, and length one: what PatchNCE compares.

    Args:
        channels: of each feature map; `CutGenerator.feature_channels`.
        dimension: of the result.
    """

    def __init__(self, channels: Sequence[int], dimension: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, dimension), nn.ReLU(), nn.Linear(dimension, dimension))
            for width in channels
        )
        self.apply(_initialise)

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Vectors `(b, n, dimension)` of length one, at `positions` of each feature map `(b, c, y, x)`."""
        return [
            F.normalize(head(feature.flatten(2).transpose(1, 2)[:, where]).float(), dim=-1)
            for head, feature, where in zip(self.heads, features, positions, strict=True)
        ]


def draw_positions(
    features: Sequence[Tensor], patches: int = 256, generator: torch.Generator | None = None
) -> list[Tensor]:
    """At most `patches` random pixels of each feature map, as flat indices shared by the batch.

    Args:
        features: each `(b, c, y, x)`.
        patches: 256 as published.
        generator: on the CPU; torch's own, which the training loop seeds step by step, if None.
    """
    return [
        torch.randperm(feature[0, 0].numel(), generator=generator)[:patches].to(feature.device)
        for feature in features
    ]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(F.instance_norm(self.first(_reflect(x, 1))))
        return x + F.instance_norm(self.second(_reflect(inner, 1)))


def _reflect(x: Tensor, margin: int) -> Tensor:
    return F.pad(x, (margin, margin, margin, margin), mode="reflect")


def _halve(x: Tensor) -> Tensor:
    """Every second pixel after a [1, 2, 1] / 4 blur, which two means of two pixels are."""
    return F.avg_pool2d(F.avg_pool2d(_reflect(x, 1), 2, stride=1), 2, stride=2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
