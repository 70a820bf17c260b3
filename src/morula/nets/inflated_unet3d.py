"""A 3D U-Net whose encoder is a 2D ConvNet, inflated, with a skip at full resolution for thin things."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from morula.nets.inflate import Conv3dOfSlices, Inflation, inflated

__all__ = ["InflatedUNet3d", "squeezenet_stages"]


_RARE = -4.0  # logit of the foreground before training: a neuron fills little of its stack


def squeezenet_stages() -> tuple[nn.Sequential, tuple[int, ...]]:
    """SqueezeNet 1.1 without its classifier, untrained: one stage per halving, and the width of each.

    Names are `<stage>.<layer>`; the first convolution is padded, so that every stage halves exactly.
    """
    from torchvision.models import squeezenet1_1  # slow to import, and most networks do not need it

    layers = list(squeezenet1_1(weights=None).features.children())
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    first.padding = (1, 1)
    stages = [nn.Sequential(*layers[start:stop]) for start, stop in ((0, 2), (2, 5), (5, 8), (8, 13))]
    return nn.Sequential(*stages), (64, 128, 256, 512)


class InflatedUNet3d(nn.Module):
    """An inflated pyramid, a decoder that adds each level to the one below, and a shallow path at full size.

    Args:
        how: how the encoder's kernels are inflated.
        depth: slices of its kernels and the decoder's; 1 sees every slice by itself.
        widths: of the decoder, fine to coarse, the first at full resolution; one more than the encoder has
            stages.
    """

    def __init__(
        self, how: Inflation = "center", *, depth: int = 3, widths: Sequence[int] = (8, 16, 32, 48, 64)
    ) -> None:
        super().__init__()
        stages, found = squeezenet_stages()
        self.encoder = cast(nn.Sequential, inflated(stages, how, depth=depth, channels=1))
        self.shallow = _block(1, widths[0], 1)
        self.lateral = nn.ModuleList(
            nn.Conv3d(wide, narrow, 1) for wide, narrow in zip(found, widths[1:], strict=True)
        )
        self.up = nn.ModuleList(nn.Conv3d(below, above, 1) for above, below in pairwise(widths))
        self.merge = nn.ModuleList(
            _block(width, width, depth if level else 1) for level, width in enumerate(widths[:-1])
        )
        self.out = nn.Conv3d(widths[0], 1, 1)
        nn.init.constant_(self.out.bias, _RARE)  # pyright: ignore[reportArgumentType]

    def forward(self, volume: Tensor) -> Tensor:
        """Logits `(b, 1, z, y, x)`, float32, of a volume `(b, 1, z, y, x)` in [0, 1]."""
        levels = [self.shallow(volume)]
        x = volume
        for stage, lateral in zip(self.encoder.children(), self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        x = levels[-1]
        for level in reversed(range(len(self.merge))):
            skip = levels[level]
            x = F.interpolate(self.up[level](x), size=skip.shape[2:], mode="nearest")
            x = self.merge[level](x + skip)
        return self.out(x).float()


def _block(channels_in: int, channels: int, depth: int) -> nn.Sequential:
    conv = Conv3dOfSlices(channels_in, channels, (depth, 3, 3), padding=(depth // 2, 1, 1), bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))
