"""A light 2D U-Net with residual blocks: one third of a second per 512 px image on two CPU cores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["UNet2d"]


class UNet2d(nn.Module):
    """Encoder of residual blocks and decoder with skips; works at half the resolution of its input.

    Every convolution is followed by batch normalisation, whose statistics can be told anew of other images.

    Args:
        channels_in: of the image.
        channels_out: of the maps.
        widths: channels per level; each level halves the resolution.
        narrow: bring deep maps to the width of the skip before they are enlarged, which is a fifth faster.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        widths: Sequence[int] = (32, 64, 96, 128),
        *,
        narrow: bool = False,
    ) -> None:
        super().__init__()
        self.stem = _conv(channels_in, widths[0], kernel=5, stride=2)
        blocks = [_Residual(widths[0], widths[0])]
        blocks += [_Residual(above, below, stride=2) for above, below in pairwise(widths)]
        self.encoder = nn.ModuleList(blocks)
        self.narrow = nn.ModuleList(
            nn.Conv2d(below, above, 1) if narrow else nn.Identity() for above, below in pairwise(widths)
        )
        self.decoder = nn.ModuleList(
            _conv((above if narrow else below) + above, above) for above, below in pairwise(widths)
        )
        self.head = nn.Conv2d(widths[0], channels_out, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Maps `(b, channels_out, y, x)` of an image `(b, channels_in, y, x)`, as float32 logits."""
        x, skips = self.stem(image), []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        for level in reversed(range(len(self.decoder))):
            x = F.interpolate(self.narrow[level](x), size=skips[level].shape[-2:], mode="bilinear")
            x = self.decoder[level](torch.cat([x, skips[level]], dim=1))
        return F.interpolate(self.head(x).float(), size=image.shape[-2:], mode="bilinear")


class _Residual(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(channels_in, channels_out, stride=stride)
        self.second = nn.Sequential(
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out)
        )
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


def _conv(channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
