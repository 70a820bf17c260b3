"""The residual 3D U-Net of "Superhuman Accuracy on the SNEMI3D Connectomics Challenge", and its pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from morula.nets.enlarge import enlarged

__all__ = ["Norm3d", "ResidualUNet3d"]

Norm3d = Literal["batch", "group"]
"""What normalises: the batch, as published, or groups of up to four channels, which small batches need."""

Kernel = tuple[int, int, int]


class ResidualUNet3d(nn.Module):
    """Encoder and decoder of residual blocks; skips are added, so that weights fit with and without them.

    With the defaults it is the published network (Lee et al., 2017, arXiv 1706.00120): 1.48 million
    parameters for three affinities, kernels and pooling for sections thicker than pixels.

    Args:
        channels_in: of the volume.
        channels_out: of the maps.
        widths: channels per level.
        pool: how much each level shrinks z, y, x.
        kernel: of the first convolution of a block and, wider in the plane, of stem and head.
        deep: slices that the other convolutions of a block see.
        norm: after every convolution but stem and head.
        skips: add the encoder's features; without them a decoder has to draw from the bottleneck alone,
            which is what pre-training wants.
        stride: of the stem in z, y, x; the maps are enlarged to the size of the input again. 1 as published;
            2 makes a step several times cheaper.
    """

    def __init__(
        self,
        channels_in: int = 1,
        channels_out: int = 3,
        widths: Sequence[int] = (28, 36, 48, 64, 80),
        *,
        pool: Kernel = (1, 2, 2),
        kernel: Kernel = (1, 3, 3),
        deep: int = 3,
        norm: Norm3d = "batch",
        skips: bool = True,
        stride: Kernel = (1, 1, 1),
    ) -> None:
        super().__init__()
        wide = (kernel[0], 5, 5)
        self.pool, self.stride, self.skips = pool, stride, skips
        self.stem = nn.Sequential(_conv(channels_in, widths[0], wide, stride), nn.ELU())
        self.encoder = nn.ModuleList(
            _Block(above, below, kernel, deep, norm) for above, below in pairwise((widths[0], *widths))
        )
        upwards = list(pairwise(reversed(widths)))
        self.narrow = nn.ModuleList(nn.Conv3d(below, above, 1) for below, above in upwards)
        self.decoder = nn.ModuleList(_Block(above, above, kernel, deep, norm) for _, above in upwards)
        self.head = nn.Sequential(_conv(widths[0], widths[0], wide), nn.ELU())
        self.out = nn.Conv3d(widths[0], channels_out, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """Logits `(b, channels_out, z, y, x)`, float32, of a volume `(b, channels_in, z, y, x)` in [0, 1]."""
        return self.read_out(self.pyramid(volume), volume.shape[2:])

    def pyramid(self, volume: Tensor) -> list[Tensor]:
        """The decoder's features `(b, c, z, y, x)` of a volume `(b, channels_in, z, y, x)`, coarse to fine.

        There is one for each level above the bottleneck.
        """
        x, levels = self.stem(volume), list[Tensor]()
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool3d(x, self.pool, ceil_mode=True) if level else x)
            levels.append(x)
        found: list[Tensor] = []
        for narrow, block, skip in zip(self.narrow, self.decoder, reversed(levels[:-1]), strict=True):
            x = enlarged(narrow(x), self.pool, skip.shape[2:], "trilinear")
            x = block(x + skip if self.skips else x)
            found.append(x)
        return found

    def read_out(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Logits `(b, channels_out, z, y, x)` of this size, float32, from what `pyramid` gave."""
        return enlarged(self.out(self.head(pyramid[-1])).float(), self.stride, size, "trilinear")


class _Block(nn.Module):
    """A convolution in the plane, then two in space around which its result is carried."""

    def __init__(self, channels_in: int, channels: int, kernel: Kernel, deep: int, norm: Norm3d) -> None:
        super().__init__()
        self.first = nn.Sequential(_conv(channels_in, channels, kernel), _norm(norm, channels), nn.ELU())
        self.residual = nn.Sequential(
            _conv(channels, channels, (deep, 3, 3)),
            _norm(norm, channels),
            nn.ELU(),
            _conv(channels, channels, (deep, 3, 3)),
        )
        self.last = nn.Sequential(_norm(norm, channels), nn.ELU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.residual(x))


def _conv(channels_in: int, channels: int, kernel: Kernel, stride: Kernel = (1, 1, 1)) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(channels_in, channels, kernel, stride, padding)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv


def _norm(norm: Norm3d, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm3d(channels, momentum=0.001)
    return nn.GroupNorm(channels // gcd(channels, 4), channels)
