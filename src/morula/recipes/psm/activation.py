"""Stages 1 and 2: a self-supervised network with a scalar output, and its activation map.

The published proxy, |f(x) - f(rot180(x))|, is least for a constant f. Here the scalar has to agree between
two views of a crop relative to its spread over crops, L = 1 - corr(f(a), f(b)), which no constant can win.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.core.types import Array

__all__ = ["ActivationNet", "agreement_loss", "orient", "self_activation"]


class ActivationNet(nn.Module):
    """Two shallow stages of stride 1 and 2, whose maps are read out, two deeper ones, and a scalar."""

    def __init__(self, channels_in: int = 4, width: int = 24) -> None:
        super().__init__()
        self.shallow = nn.Sequential(_stage(channels_in, width, 2), _stage(width, width, 1))
        self.deep = nn.Sequential(_stage(width, 2 * width, 2), _stage(2 * width, 2 * width, 2))
        self.scalar = nn.Linear(2 * width, 1)

    def forward(self, image: Tensor) -> Tensor:
        """One number per image `(b, c, y, x)`: `(b,)`."""
        return self.read(self.shallow(image))

    def read(self, maps: Tensor) -> Tensor:
        """The scalar that follows from the shallow maps."""
        return self.scalar(self.deep(maps).mean(dim=(2, 3)))[:, 0].float()


def agreement_loss(first: Tensor, second: Tensor) -> Tensor:
    """1 - Pearson correlation of the scalars `(b,)` of two views of the same crops."""
    a, b = first - first.mean(), second - second.mean()
    return 1 - (a * b).mean() / (a.pow(2).mean() * b.pow(2).mean() + 1e-8).sqrt()


def self_activation(network: ActivationNet, image: Tensor) -> Array:
    """Prior self-activation map: Grad-CAM of the scalar at the shallow maps (spec: no ReLU before scaling).

    Args:
        network: in evaluation mode.
        image: `(c, y, x)`.

    Returns:
        `(y, x)` float32 in [0, 1], its sign still arbitrary.
    """
    maps = network.shallow(image[None]).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.read(maps).sum(), maps)
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(dim=1, keepdim=True).float()
    cam = F.interpolate(cam, size=image.shape[-2:], mode="bilinear")[0, 0].cpu().numpy()
    low, high = np.percentile(cam, [1, 99])
    return np.clip((cam - low) / max(float(high - low), 1e-9), 0, 1).astype(np.float32)


def orient(maps: list[Array], densities: list[Array]) -> tuple[list[Array], float]:
    """Turns all maps over if they fall where the density rises: f and -f solve the proxy equally well.

    Returns:
        The maps, and the mean correlation with the density after turning.
    """
    found = [
        float(np.corrcoef(a.ravel(), d.ravel())[0, 1]) if np.ptp(a) > 0 else 0.0
        for a, d in zip(maps, densities, strict=True)
    ]
    mean = float(np.mean(found)) if found else 0.0
    return ([1 - a for a in maps] if mean < 0 else maps), abs(mean)


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
