"""The 3D U-Net of MALA, wide and without normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.nets.enlarge import enlarged

__all__ = ["Mala3d"]

_SLOPE = 0.005  # of the leaky ReLU below 0


class Mala3d(nn.Module):
    """A 3D U-Net that shrinks by three in the plane alone, and widens fivefold at each level.

    With the defaults it has the published 84 million parameters. Convolutions are padded here, so that
    maps have the size of the volume; as published 53 x 268 x 268 voxels give maps of 25 x 56 x 56.

    Args:
        channels_in: of the volume.
        channels_out: of the maps.
        widths: channels per level.
        pool: how much each level shrinks z, y, x.
        skips: join the encoder's features to the decoder's; without them zeros take their place, so that
            weights fit with and without.

    Source: Funke et al., IEEE TPAMI 41:1669 (2019).
    """

    def __init__(
        self,
        channels_in: int = 1,
        channels_out: int = 3,
        widths: Sequence[int] = (12, 60, 300, 1500),
        *,
        pool: tuple[int, int, int] = (1, 3, 3),
        skips: bool = True,
    ) -> None:
        super().__init__()
        self.pool, self.skips, self.widths = pool, skips, tuple(widths)
        self.encoder = nn.ModuleList(_pair(above, below) for above, below in pairwise((channels_in, *widths)))
        upwards = list(pairwise(reversed(widths)))
        self.narrow = nn.ModuleList(nn.Conv3d(below, above, 1) for below, above in upwards)
        self.decoder = nn.ModuleList(_pair(2 * above, above) for _, above in upwards)
        self.out = nn.Conv3d(widths[0], channels_out, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """Logits `(b, channels_out, z, y, x)`, float32, of a volume `(b, channels_in, z, y, x)` in [0, 1]."""
        return self.read_out(self.pyramid(volume), volume.shape[2:])

    def pyramid(self, volume: Tensor) -> list[Tensor]:
        """The decoder's features `(b, c, z, y, x)` of a volume `(b, channels_in, z, y, x)`, coarse to fine.

        There is one for each level above the bottleneck.
        """
        x, levels = volume, list[Tensor]()
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool3d(x, self.pool, ceil_mode=True) if level else x)
            levels.append(x)
        found: list[Tensor] = []
        for narrow, block, skip in zip(self.narrow, self.decoder, reversed(levels[:-1]), strict=True):
            x = enlarged(narrow(x), self.pool, skip.shape[2:], "nearest")
            x = block(torch.cat([skip if self.skips else torch.zeros_like(skip), x], dim=1))
            found.append(x)
        return found

    def read_out(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Logits `(b, channels_out, z, y, x)` of this size, float32, from what `pyramid` gave."""
        z, y, x = size
        return self.out(pyramid[-1][..., :z, :y, :x]).float()


def _pair(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(channels_in, channels),
        nn.LeakyReLU(_SLOPE),
        _conv(channels, channels),
        nn.LeakyReLU(_SLOPE),
    )


def _conv(channels_in: int, channels: int) -> nn.Conv3d:
    conv = nn.Conv3d(channels_in, channels, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, _SLOPE)
    return conv
