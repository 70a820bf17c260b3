"""Coarse maps at the size of finer ones, in place: what they show stays where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

__all__ = ["enlarged"]


def enlarged(
    maps: Tensor, factor: Sequence[int], size: Sequence[int], mode: Literal["nearest", "trilinear"]
) -> Tensor:
    """Maps `(b, c, z, y, x)`, enlarged by whole factors and cut at their end to this size.

    Stretched to a size that is no multiple of the factors they would be displaced, more so towards the end.

    Args:
        maps: shrunk by the factors, sizes rounded up.
        factor: of z, y, x.
        size: z, y, x, at most the factors times that of the maps.
        mode: what lies between the values.
    """
    whole = [length * times for length, times in zip(maps.shape[2:], factor, strict=True)]
    if whole != list(maps.shape[2:]):
        maps = F.interpolate(maps, whole, mode=mode)
    z, y, x = size
    return maps[..., :z, :y, :x]
