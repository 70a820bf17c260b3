"""DAMT-Net, the adversarial comparator (Peng, Yi and Yuan, 2020), with the published widths as defaults."""

from __future__ import annotations

from itertools import pairwise
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.recipes.emda.networks.sides import require_sides

__all__ = ["DamtNet", "FeatureDiscriminator", "LabelDiscriminator"]


class DamtNet(nn.Module):
    """U-Net with a second decoder, without skips, that reconstructs the image.

    Args:
        width: channels of the first of five levels; each level doubles them. 64 as published.

    Attributes:
        encoder: five levels.
        segmentation: decoder with skips.
        reconstruction: decoder without.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.encoder = nn.ModuleList(_double(above, below) for above, below in pairwise([1, *widths]))
        ups = list(pairwise(widths))[::-1]
        self.segmentation = nn.ModuleList(_Up(below, above) for above, below in ups)
        self.classify = nn.Conv2d(width, 2, 1)
        self.reconstruction = nn.ModuleList(_double(below, above) for above, below in ups)
        self.paint = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the three losses need, of an image `(b, 1, y, x)` scaled to [0, 1] by its extremes.

        Returns:
            The reconstruction `(b, 1, y, x)`, the feature `(b, width, y, x)` of the last decoder level, and
            logits `(b, 2, y, x)` of background and mitochondrion.

        Raises:
            ValueError: a side is no multiple of 16, or below 32.
        """
        skips = self._encode(image)
        painted = skips[-1]
        for block in self.reconstruction:
            painted = block(_enlarge(painted))
        feature = self._decode(skips)
        return self.paint(painted), feature, self.classify(feature)

    def segment(self, image: Tensor) -> Tensor:
        """Logits `(b, 1, y, x)` whose sigmoid is the softmax probability of mitochondrion.

        Raises:
            ValueError: a side is no multiple of 16, or below 32.
        """
        background, mitochondrion = self.classify(self._decode(self._encode(image))).split(1, dim=1)
        return mitochondrion - background

    def _encode(self, image: Tensor) -> list[Tensor]:
        require_sides(image, multiple=16, at_least=32)
        levels = [self.encoder[0](image)]
        for block in list(self.encoder)[1:]:
            levels.append(block(F.max_pool2d(levels[-1], 2)))
        return levels

    def _decode(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for up, skip in zip(self.segmentation, reversed(levels[:-1]), strict=True):
            x = up(x, skip)
        return x


class LabelDiscriminator(nn.Module):
    """Tells source from target by the softmax map: 4x4 convolutions of stride 2 (AdaptSegNet's)."""

    def __init__(self, classes: int = 2, width: int = 64) -> None:
        super().__init__()
        widths = [classes, *(width * 2**level for level in range(4))]
        layers: list[nn.Module] = []
        for above, below in pairwise(widths):
            layers += [nn.Conv2d(above, below, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 2, 1))

    def forward(self, probability: Tensor) -> Tensor:
        """Logits `(b, 1, y // 32, x // 32)` of "this is source" from probabilities `(b, classes, y, x)`.

        Raises:
            ValueError: a side is below 32.
        """
        require_sides(probability, at_least=32)
        return self.layers(probability)


class FeatureDiscriminator(nn.Module):
    """Tells source from target by the decoder's last feature: three convolutions, three full connections.

    Args:
        size: edge of the crops; the first full connection is made for it. 512 as published.
        channels: of the feature.
        width: of the convolutions.
    """

    def __init__(self, size: int = 512, channels: int = 64, width: int = 48) -> None:
        super().__init__()
        if size < 16 or size % 8:
            raise ValueError(f"size must be a multiple of 8, at least 16, not {size}")
        self.size = size
        layers: list[nn.Module] = []
        for above in (channels, width, width):
            layers += [nn.Conv2d(above, width, 3, padding=1), _group_norm(4, width)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        layers.append(nn.Flatten())
        for above, below in pairwise([width * (size // 8) ** 2, 288, 144]):
            layers += [nn.Linear(above, below), _group_norm(4, below), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(144, 2))

    def forward(self, feature: Tensor) -> Tensor:
        """Logits `(b, 2)` of target and source from a feature `(b, channels, size, size)`.

        Raises:
            ValueError: the feature is of another size.
        """
        if feature.shape[-2:] != (self.size, self.size):
            y, x = feature.shape[-2:]
            raise ValueError(f"this discriminator is for {self.size} x {self.size} pixels, not {y} x {x}")
        return self.layers(feature)


class _Up(nn.Module):
    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(below, above, 1)
        self.block = _double(2 * above, above)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.block(torch.cat([self.narrow(_enlarge(x)), skip], dim=1))


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def _double(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [nn.Conv2d(channels, channels_out, 3, padding=1), _group_norm(32, channels_out)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _group_norm(groups: int, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(groups, channels), channels, affine=False)
