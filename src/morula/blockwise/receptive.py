"""How far a network sees, measured: an input that is not a number spoils every output that depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["receptive_field"]


@torch.no_grad()
def receptive_field(
    network: Callable[[Tensor], Tensor], shape: Sequence[int], *, channels: int = 1, stride: int = 1
) -> tuple[int, ...] | None:
    """The reach of a network along each axis: how far from an output voxel its inputs lie at most.

    Args:
        network: image `(1, c, *shape)` to maps `(1, k, *shape)`, in evaluation mode, with its weights on the
            CPU. Any architecture whose layers pass a number that is none on.
        shape: of the image, larger than twice the reach.
        channels: of the image.
        stride: product of its poolings: positions within one step of it are tried, for their reach differs.

    Returns:
        Voxels along each axis, or None where the reach meets the faces of the image: it is larger, or the
        network looks at all of it (a norm over the image, attention).
    """
    reach = [0] * len(shape)
    steps = sorted({0, stride // 2, stride - 1})
    for more in steps:
        place = [size // 2 // stride * stride + more for size in shape]
        image = torch.zeros(1, channels, *shape)
        image[(0, slice(None), *place)] = torch.nan
        spoiled = torch.isnan(network(image))[0].any(dim=0).nonzero()
        low, high = spoiled.amin(dim=0).tolist(), spoiled.amax(dim=0).tolist()
        if any(first == 0 for first in low) or any(
            last == size - 1 for last, size in zip(high, shape, strict=True)
        ):
            return None
        reach = [
            max(far, at - first, last - at)
            for far, at, first, last in zip(reach, place, low, high, strict=True)
        ]
    return tuple(reach)
