"""What is to be restored of a hidden patch: its voxels, and the directions of its edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["BINS", "Size", "hide", "hog", "patch_errors", "patch_features"]

BINS = 9
"""Directions of edges in a histogram, without a sign."""

_POOLED = 4  # voxels that a patch is shrunk to along each axis, for the policy

Size = tuple[int, int, int]


def hog(volume: Tensor, cell: int) -> Tensor:
    """Histograms of oriented gradients in every section, of unit length.

    Gradients are Sobel's; each votes with its strength for the two directions that it lies between.

    Args:
        volume: `(b, 1, z, y, x)`, y and x multiples of the cell.
        cell: width of a square of pixels with one histogram.

    Returns:
        `(b, 9, z, y / cell, x / cell)`.

    Source: Dalal and Triggs, CVPR 2005; as a target of masked modelling Wei et al., CVPR 2022 (MaskFeat).
    """
    b, _, z, y, x = volume.shape
    sections = volume.float().transpose(1, 2).reshape(b * z, 1, y, x)
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=volume.device)
    slopes = F.conv2d(
        F.pad(sections, (1, 1, 1, 1), mode="replicate"), torch.stack([across, across.T])[:, None]
    )
    strength = slopes.norm(dim=1, keepdim=True)
    angle = torch.atan2(slopes[:, 1:], slopes[:, :1]).remainder(math.pi) / math.pi * BINS
    below = angle.floor()
    part = angle - below
    votes = torch.zeros((b * z, BINS, y, x), device=volume.device)
    votes.scatter_add_(1, below.long() % BINS, strength * (1 - part))
    votes.scatter_add_(1, (below.long() + 1) % BINS, strength * part)
    cells = F.avg_pool2d(votes, cell)
    cells = cells / (cells.pow(2).sum(dim=1, keepdim=True) + 1e-6).sqrt()
    return cells.reshape(b, z, BINS, y // cell, x // cell).transpose(1, 2)


def hide(volume: Tensor, mask: Tensor, patch: Size) -> Tensor:
    """The volume `(b, 1, z, y, x)` with hidden patches set to the mean of what is left of each crop.

    Args:
        volume: a multiple of the patch along every axis.
        mask: `(b, pz, py, px)` bool.
        patch: voxels.
    """
    gone = mask[:, None]
    for axis, part in enumerate(patch):
        gone = gone.repeat_interleave(part, dim=axis + 2)
    seen = (~gone).float()
    mean = (volume * seen).sum(dim=(1, 2, 3, 4), keepdim=True) / seen.sum(
        dim=(1, 2, 3, 4), keepdim=True
    ).clamp(1)
    return torch.where(gone, mean, volume)


def patch_errors(maps: Tensor, volume: Tensor, patch: Size, cell: int) -> tuple[Tensor, Tensor]:
    """Squared errors of the voxels and of the histograms, averaged in each patch.

    Args:
        maps: `(b, 1 + 9, z, y, x)`, grey values and votes, as the network gives them.
        volume: `(b, 1, z, y, x)`, what was there.
        patch: voxels; y and x multiples of the cell.
        cell: of the histograms.

    Returns:
        Two `(b, pz, py, px)`.
    """
    voxels = F.avg_pool3d((maps[:, :1] - volume) ** 2, patch)
    found = F.avg_pool3d(maps[:, 1:], (1, cell, cell))
    squares = ((found - hog(volume, cell)) ** 2).mean(dim=1, keepdim=True)
    edges = F.avg_pool3d(squares, (patch[0], patch[1] // cell, patch[2] // cell))
    return voxels[:, 0], edges[:, 0]


def patch_features(volume: Tensor, patch: Size) -> Tensor:
    """What an agent knows of its patch: it shrunk to 4 x 4 x 4 about its mean, its mean and its spread.

    Args:
        volume: `(b, 1, z, y, x)`.
        patch: voxels.

    Returns:
        `(b, n, 66)`, patches in the order of z, y, x.
    """
    b = len(volume)
    pz, py, px = patch
    grid = [size // part for size, part in zip(volume.shape[2:], patch, strict=True)]
    parts = volume.reshape(b, grid[0], pz, grid[1], py, grid[2], px).permute(0, 1, 3, 5, 2, 4, 6)
    parts = parts.reshape(-1, 1, pz, py, px)
    small = F.adaptive_avg_pool3d(parts, _POOLED).flatten(1)
    mean, spread = parts.mean(dim=(1, 2, 3, 4)), parts.std(dim=(1, 2, 3, 4), unbiased=False)
    return torch.cat([small - mean[:, None], mean[:, None], spread[:, None]], dim=1).reshape(
        b, -1, small.shape[1] + 2
    )
