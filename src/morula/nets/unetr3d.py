"""UNETR for volumes of electron micrographs: a transformer over patches, and a decoder that repairs z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Unetr3d"]

Size = tuple[int, int, int]

_POSITIONS: Size = (8, 10, 10)
"""Of the table of positions: the patches of the published crop. Other grids take it resized."""

_HEAD_WIDTH = 32


class Unetr3d(nn.Module):
    """Transformer blocks of timm over patches, with a convolutional decoder and skips from within and before.

    Hatamizadeh et al., WACV 2022, with patches that are shallower than wide, for sections thicker than
    pixels. Every step of the decoder doubles all three axes, so z grows too far; a convolution with a stride
    along z repairs it before the last step (as in the code of arXiv 2310.04148). Skips are added and not
    concatenated, so that the weights of a network without skips all fit into one with them.

    Args:
        channels_in: of the volume.
        channels_out: of the maps.
        patch: voxels of a patch, z, y, x: powers of 2, y and x alike, z no longer.
        width: of the tokens, a multiple of 32.
        depth: blocks of the transformer.
        features: of the finest level; each coarser one has twice as many.
        skips: take features from within the transformer and from the volume; without them the decoder draws
            from the last block alone, which is what pre-training wants.
    """

    def __init__(
        self,
        channels_in: int = 1,
        channels_out: int = 3,
        *,
        patch: Size = (4, 16, 16),
        width: int = 192,
        depth: int = 6,
        features: int = 32,
        skips: bool = True,
    ) -> None:
        from timm.models.vision_transformer import Block  # slow to import; other networks do not need it

        super().__init__()
        steps = patch[1].bit_length() - 1
        if patch[1] != patch[2] or patch[1] != 2**steps or steps < 2 or patch[1] % patch[0]:
            raise ValueError(f"patches are as wide as high, a power of 2 from 4, and no deeper, not {patch}")
        self.patch, self.skips = patch, skips
        self.embed = nn.Conv3d(channels_in, width, patch, patch)
        self.positions = nn.Parameter(torch.zeros(1, width, *_POSITIONS))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(Block(width, width // _HEAD_WIDTH, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.taps = tuple(depth * step // steps for step in range(steps - 1, 0, -1))
        widths = [features * 2**level for level in reversed(range(steps))]
        self.up = nn.ModuleList(_up(below, above) for below, above in zip([width, *widths], widths))  # noqa: B905
        self.decoder = nn.ModuleList(_Residual(each, each) for each in widths)
        deeper = patch[1] // patch[0]
        repair = nn.Conv3d(widths[-2], widths[-2], 3, (deeper, 1, 1), 1)
        self.repair = repair if deeper > 1 else nn.Identity()
        self.lateral = nn.ModuleList(
            _Lateral(width, each, step + 1) for step, each in enumerate(widths[:-1] if skips else [])
        )
        self.shallow = _Residual(channels_in, widths[-1]) if skips else None
        self.out = nn.Conv3d(widths[-1], channels_out, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """Logits `(b, channels_out, z, y, x)`, float32, of a volume `(b, channels_in, z, y, x)` in [0, 1]."""
        return self.read_out(self.pyramid(volume), volume.shape[2:])

    def pyramid(self, volume: Tensor) -> list[Tensor]:
        """The decoder's features `(b, c, z, y, x)` of a volume `(b, channels_in, z, y, x)`, coarse to fine.

        The volume is continued to whole patches first.
        """
        missing = [-size % part for size, part in zip(volume.shape[2:], self.patch, strict=True)]
        if any(missing):
            z, y, x = missing
            volume = F.pad(volume, (0, x, 0, y, 0, z), mode="replicate")
        x, tapped = self._tokens(volume)
        found: list[Tensor] = []
        last = len(self.decoder) - 1
        for step, (up, block) in enumerate(zip(self.up, self.decoder, strict=True)):
            if step == last:
                found[-1] = x = self.repair(x)
            x = up(x)
            if self.shallow is not None:
                x = x + (self.shallow(volume) if step == last else self.lateral[step](tapped[step]))
            x = block(x)
            found.append(x)
        return found

    def read_out(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Logits `(b, channels_out, z, y, x)` of this size, float32, from what `pyramid` gave."""
        z, y, x = size
        return self.out(pyramid[-1][..., :z, :y, :x]).float()

    def _tokens(self, volume: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Of the last block and, coarse to fine, of those that skips take, `(b, width, pz, py, px)` each."""
        patches = self.embed(volume)
        grid = patches.shape[2:]
        table = self.positions
        if grid != table.shape[2:]:
            table = F.interpolate(table, size=grid, mode="trilinear")
        tokens = (patches + table).flatten(2).transpose(1, 2)
        kept: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks):
            tokens = cast(Tensor, block(tokens))
            kept[number] = tokens

        def placed(each: Tensor) -> Tensor:
            return each.transpose(1, 2).unflatten(2, grid)

        return placed(self.norm(tokens)), [placed(kept[number]) for number in self.taps]


class _Residual(nn.Module):
    """Two convolutions around which the input is carried."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(channels_in, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.GELU(),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
        )
        self.carry = nn.Conv3d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.body(x) + self.carry(x))


class _Lateral(nn.Sequential):
    """Tokens to features of a level: narrowed, then doubled as often as the decoder did to get there."""

    def __init__(self, width: int, channels: int, steps: int) -> None:
        doubled = (
            nn.Sequential(_up(channels, channels), _Residual(channels, channels)) for _ in range(steps)
        )
        super().__init__(nn.Conv3d(width, channels, 1), nn.GELU(), *doubled)


def _up(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(channels_in, channels, 2, 2, bias=False),
        nn.InstanceNorm3d(channels, affine=True),
        nn.GELU(),
    )
