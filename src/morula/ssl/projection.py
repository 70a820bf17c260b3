"""From feature maps to points on a sphere, where views are compared."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Projection"]


class Projection(nn.Module):
    """Mean over the pixels, two layers, length 1: the head of MoCo v2.

    Args:
        channels: of the feature maps.
        dim: of the points.

    Source: Chen et al., "Improved baselines with momentum contrastive learning", arXiv 2003.04297.
    """

    def __init__(self, channels: int, dim: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, dim))

    def forward(self, maps: Tensor) -> Tensor:
        """Points `(b, dim)` of feature maps `(b, channels, y, x)`."""
        return F.normalize(self.layers(maps.mean(dim=(2, 3))).float(), dim=1)
