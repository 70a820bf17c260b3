"""From two dimensions to three: networks that learned from natural images become networks for stacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Conv3dOfSlices", "Inflation", "fitting", "inflate_kernel", "inflated", "resize_positions"]

Inflation = Literal["center", "average"]
"""Where a 2D kernel goes along z: all of it into the middle slice, or an equal share into each."""


def inflate_kernel(kernel: Tensor, depth: int, how: Inflation, channels: int | None = None) -> Tensor:
    """A 3D kernel that gives what the 2D one gives.

    `center` does so for the middle slice, whatever its neighbours are; `average` where all slices are equal.
    With another number of channels than the kernel has, each new channel gets the sum over the old ones,
    divided by the number of the new: a grey image then gives what it gave as equal colours.

    Args:
        kernel: `(out, in, y, x)`.
        depth: slices of the new kernel, odd for `center`.
        how: where the weights go.
        channels: input channels of the new kernel; None keeps them.

    Returns:
        `(out, channels, depth, y, x)`.

    Source: the two ways of Carreira & Zisserman (CVPR 2017) and of Zhang et al. (TransSeg, 2022).

    >>> inflate_kernel(torch.ones(1, 3, 1, 1), 3, "center", 1).flatten().tolist()
    [0.0, 3.0, 0.0]
    >>> inflate_kernel(torch.ones(1, 3, 1, 1), 3, "average", 1).flatten().tolist()
    [1.0, 1.0, 1.0]
    """
    if channels is not None and channels != kernel.shape[1]:
        kernel = kernel.sum(dim=1, keepdim=True).expand(-1, channels, -1, -1) / channels
    spread = kernel.new_zeros(depth)
    if how == "center":
        spread[depth // 2] = 1
    else:
        spread += 1 / depth
    return kernel[:, :, None] * spread[:, None, None]


def resize_positions(positions: Tensor, grid: tuple[int, int], *, first: int = 1) -> Tensor:
    """Learned position embeddings for another grid of patches, by bicubic interpolation.

    Args:
        positions: `(1, first + n, width)`, n patches of a square grid, row by row.
        grid: patches along y and x wanted.
        first: tokens before the patches (the class token), whose embeddings are kept.

    Returns:
        `(1, first + y * x, width)`.

    Raises:
        ValueError: n is no square.
    """
    kept, patches = positions[:, :first], positions[:, first:]
    edge = round(patches.shape[1] ** 0.5)
    if edge * edge != patches.shape[1]:
        raise ValueError(f"{patches.shape[1]} patch positions are no square grid")
    if grid == (edge, edge):
        return positions
    image = patches.reshape(1, edge, edge, -1).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([kept, image.flatten(2).transpose(1, 2)], dim=1)


def fitting(how: Inflation) -> Callable[[Tensor, torch.Size], Tensor | None]:
    """What `Weights.load_into` needs to bring 2D weights into a 3D network.

    Kernels `(out, in, y, x)` are inflated to `(out, in', z, y, x)`, position embeddings are resized to a
    square grid, all else has to fit as it is.
    """

    def fit(tensor: Tensor, shape: torch.Size) -> Tensor | None:
        if tensor.ndim == 4 and len(shape) == 5 and tensor.shape[2:] == shape[3:]:
            return inflate_kernel(tensor, shape[2], how, shape[1])
        if tensor.ndim == len(shape) == 3 and tensor.shape[0] == shape[0] == 1:
            edge = round((shape[1] - 1) ** 0.5)
            found = round((tensor.shape[1] - 1) ** 0.5)
            if edge * edge == shape[1] - 1 and found * found == tensor.shape[1] - 1:
                return resize_positions(tensor, (edge, edge))
        return None

    return fit


class Conv3dOfSlices(nn.Conv3d):
    """A 3D convolution before which the first and the last slice are repeated; y and x are padded as usual.

    Zeros above a stack would darken its first slices; repeated slices are what clamped indices give.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Features `(b, out, z, y', x')` of `(b, in, z, y, x)`."""
        beyond = (self.kernel_size[0] - 1) // 2
        if beyond:
            input = F.pad(input, (0, 0, 0, 0, beyond, self.kernel_size[0] - 1 - beyond), mode="replicate")
        padding = (0, *cast("tuple[int, ...]", self.padding)[1:])
        return F.conv3d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


def inflated(network: nn.Module, how: Inflation, *, depth: int = 3, channels: int | None = None) -> nn.Module:
    """A 3D copy of a 2D ConvNet: the same names, the same strides in the plane, no stride along z.

    Convolutions wider than a pixel become `depth` slices deep, pointwise ones stay so. Batch and group
    normalisation, pooling, dropout and activations follow. What a network does outside of modules must not
    care about the number of dimensions; concatenating and adding channels does not.

    Args:
        network: of `Conv2d` and the like (torchvision, timm); left as it is.
        how: where the weights of a kernel go.
        depth: of the kernels in slices, odd.
        channels: of the image; None keeps those of the first convolution.

    Raises:
        ValueError: a module has no counterpart in three dimensions.
    """
    if depth % 2 == 0:
        raise ValueError(f"depth must be odd, not {depth}")
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return _module(network, first if channels is not None else None, how, depth, channels)


def _module(
    module: nn.Module, first: nn.Conv2d | None, how: Inflation, depth: int, channels: int | None
) -> nn.Module:
    if isinstance(module, nn.Conv2d):
        return _conv(module, how, depth, channels if module is first else None)
    if isinstance(module, nn.BatchNorm2d):
        return _batch_norm(module)
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        return _pool(module)
    if not list(module.children()):
        if type(module).__name__.endswith("2d"):
            raise ValueError(f"{type(module).__name__} has no counterpart in three dimensions here")
        return copy.deepcopy(module)
    copied = copy.copy(module)
    copied._parameters = copy.deepcopy(module._parameters)  # pyright: ignore[reportPrivateUsage]
    copied._buffers = copy.deepcopy(module._buffers)  # pyright: ignore[reportPrivateUsage]
    copied._modules = {  # pyright: ignore[reportPrivateUsage]
        name: None if child is None else _module(child, first, how, depth, channels)  # pyright: ignore[reportUnnecessaryComparison]
        for name, child in module._modules.items()  # pyright: ignore[reportPrivateUsage]
    }
    return copied


def _conv(conv: nn.Conv2d, how: Inflation, depth: int, channels: int | None) -> nn.Module:
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        raise ValueError(f"a convolution padded by {conv.padding!r}, {conv.padding_mode} cannot be inflated")
    pointwise = conv.kernel_size == (1, 1)
    deep = 1 if pointwise else depth
    wide = conv.in_channels if channels is None else channels
    made = Conv3dOfSlices(
        wide,
        conv.out_channels,
        (deep, conv.kernel_size[0], conv.kernel_size[1]),
        (1, conv.stride[0], conv.stride[1]),
        (deep // 2, conv.padding[0], conv.padding[1]),
        (1, conv.dilation[0], conv.dilation[1]),
        conv.groups,
        bias=conv.bias is not None,
    )
    with torch.no_grad():
        made.weight.copy_(inflate_kernel(conv.weight, deep, how, channels))
        if conv.bias is not None and made.bias is not None:
            made.bias.copy_(conv.bias)
    return made.train(conv.training)


def _batch_norm(norm: nn.BatchNorm2d) -> nn.Module:
    made = nn.BatchNorm3d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made.load_state_dict(norm.state_dict())
    return made.train(norm.training)


def _pool(pool: nn.MaxPool2d | nn.AvgPool2d) -> nn.Module:
    kernel, stride, padding = (_pair(value) for value in (pool.kernel_size, pool.stride, pool.padding))
    sizes: dict[str, Any] = {
        "kernel_size": (1, *kernel),
        "stride": (1, *stride),
        "padding": (0, *padding),
        "ceil_mode": pool.ceil_mode,
    }
    if isinstance(pool, nn.MaxPool2d):
        return nn.MaxPool3d(dilation=(1, *_pair(pool.dilation)), **sizes)
    return nn.AvgPool3d(count_include_pad=pool.count_include_pad, **sizes)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
