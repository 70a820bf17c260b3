"""A 2D vision transformer that looks at a window of slices and describes the middle one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.nets.inflate import Inflation, inflate_kernel, resize_positions

__all__ = ["SliceViT", "UPerHead", "dino_name"]

_WRAPPERS = re.compile(r"^(?:(?:teacher|student|module|backbone|_orig_mod)\.)+")


class SliceViT(nn.Module):
    """A vision transformer of timm whose patches are `slices` deep; tokens, and so the cost, stay 2D.

    Names are those of timm, of DINO and of DINOv2, so their weights load: the class token comes first, then
    registers if any, then patches row by row; the position embeddings hold the class token's first.

    Args:
        vit: a plain `timm` VisionTransformer with a class token and learned positions, left as it is.
        slices: in the window, odd.
        how: how the patch kernel is inflated.
        taps: blocks after which the tokens are given out, counted from 0.
    """

    def __init__(
        self, vit: nn.Module, slices: int = 5, how: Inflation = "center", taps: Sequence[int] = (3, 5, 7, 11)
    ) -> None:
        super().__init__()
        found: Any = vit
        flat: nn.Conv2d = found.patch_embed.proj
        if slices % 2 == 0:
            raise ValueError(f"the window must have a middle slice, so an odd number, not {slices}")
        self.slices, self.taps, self.patch = slices, tuple(taps), int(flat.kernel_size[0])
        self.width = int(found.embed_dim)
        kernel = (slices, self.patch, self.patch)
        projection = nn.Conv3d(1, self.width, kernel, kernel)  # its bias takes the mean off an image
        self.patch_embed = nn.ModuleDict({"proj": projection})
        self.cls_token = nn.Parameter(found.cls_token.detach().clone())
        self.reg_token = None if found.reg_token is None else nn.Parameter(found.reg_token.detach().clone())
        positions = found.pos_embed.detach().clone()
        if found.no_embed_class:  # timm then adds nothing to the class token
            positions = torch.cat([torch.zeros_like(self.cls_token), positions], dim=1)
        self.pos_embed = nn.Parameter(positions)
        self.norm_pre = cast(nn.Module, found.norm_pre)
        self.blocks = cast(nn.ModuleList, found.blocks)
        self.norm = cast(nn.Module, found.norm)
        with torch.no_grad():
            projection.weight.copy_(inflate_kernel(flat.weight, slices, how, 1))
            bias = projection.bias
            assert bias is not None
            bias.copy_(torch.zeros_like(bias) if flat.bias is None else flat.bias)

    def forward(self, window: Tensor) -> list[Tensor]:
        """Maps `(b, width, y / patch, x / patch)` after each tap; the last of all blocks is normalised.

        Args:
            window: `(b, 1, slices, y, x)`, y and x multiples of the patch.
        """
        tokens, grid = self.embed(window)
        first = tokens.shape[1] - grid[0] * grid[1]
        maps: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            tokens = block(tokens)
            if number in self.taps:
                last = number == len(self.blocks) - 1
                patches = (self.norm(tokens) if last else tokens)[:, first:]
                maps.append(patches.transpose(1, 2).unflatten(2, grid))
        return maps

    def embed(self, window: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The tokens before the first block, `(b, n, width)`, and how many patches lie along y and x."""
        patches = self.patch_embed["proj"](window)[:, :, 0]
        grid = (int(patches.shape[2]), int(patches.shape[3]))
        positions = resize_positions(self.pos_embed, grid)
        start = (self.cls_token + positions[:, :1]).expand(len(window), -1, -1)
        tokens = [start, patches.flatten(2).transpose(1, 2) + positions[:, 1:]]
        if self.reg_token is not None:
            tokens.insert(1, self.reg_token.expand(len(window), -1, -1))
        return self.norm_pre(torch.cat(tokens, dim=1)), grid


def dino_name(stored: str) -> str | None:
    """The network's name of a tensor in a checkpoint of DINO or DINOv2; None for what is not of the encoder.

    >>> dino_name("module.backbone.blocks.0.attn.qkv.weight"), dino_name("head.mlp.0.weight")
    ('blocks.0.attn.qkv.weight', None)
    >>> dino_name("register_tokens"), dino_name("blocks.2.11.ls1.gamma")
    ('reg_token', 'blocks.11.ls1.gamma')
    """
    name = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", _WRAPPERS.sub("", stored))
    if name.startswith(("head.", "dino_head.", "ibot_head.")) or name == "mask_token":
        return None
    return "reg_token" if name == "register_tokens" else name


class UPerHead(nn.Module):
    """Four maps of a transformer become one at full size: a pyramid is made of them, pooled, and fused.

    Args:
        width: of the maps.
        channels: of the pyramid.
        patch: pixels to an edge of one token.

    Source: Xiao et al., "Unified perceptual parsing" (ECCV 2018), with the adaptors of BEiT and TransSeg.
    """

    def __init__(self, width: int, channels: int = 128, patch: int = 16) -> None:
        super().__init__()
        self.patch = patch
        self.adapt = nn.ModuleList(
            [
                nn.Sequential(_doubled(width), nn.BatchNorm2d(width), nn.GELU(), _doubled(width)),
                _doubled(width),
                nn.Identity(),
                nn.MaxPool2d(2),
            ]
        )
        self.lateral = nn.ModuleList(_fused(width, channels, 1) for _ in range(3))
        self.pooled = nn.ModuleList(_fused(width, channels, 1) for _ in _BINS)
        self.coarsest = _fused(width + len(_BINS) * channels, channels, 3)
        self.smooth = nn.ModuleList(_fused(channels, channels, 3) for _ in range(3))
        self.fuse = _fused(4 * channels, channels, 3)
        self.out = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(channels, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits `(b, 1, y, x)`, float32, of four maps `(b, width, y / patch, x / patch)`."""
        size = [edge * self.patch for edge in maps[0].shape[2:]]
        levels = [adapt(each) for adapt, each in zip(self.adapt, maps, strict=True)]
        deep = levels.pop()
        around = [
            _resized(pool(F.adaptive_avg_pool2d(deep, bins)), deep)
            for bins, pool in zip(_BINS, self.pooled, strict=True)
        ]
        pyramid = [self.coarsest(torch.cat([deep, *around], dim=1))]
        for lateral, level in zip(reversed(self.lateral), reversed(levels), strict=True):  # pyright: ignore[reportArgumentType]
            pyramid.append(lateral(level) + _resized(pyramid[-1], level))
        smooth = [each(level) for each, level in zip(self.smooth, pyramid[1:], strict=True)]
        finest = smooth[-1]
        fused = self.fuse(torch.cat([_resized(level, finest) for level in (pyramid[0], *smooth)], dim=1))
        return F.interpolate(self.out(fused).float(), size=size, mode="bilinear", align_corners=False)


_BINS = (1, 2, 3, 6)


def _doubled(width: int) -> nn.Module:
    return nn.ConvTranspose2d(width, width, 2, 2)


def _fused(channels_in: int, channels: int, kernel: int) -> nn.Module:
    conv = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2)
    return nn.Sequential(conv, nn.GroupNorm(8, channels), nn.ReLU())


def _resized(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, size=like.shape[2:], mode="bilinear", align_corners=False)
