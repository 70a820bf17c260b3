"""From two dimensions to three: networks that learned from natural images become networks for stacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

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
    square grid, with zeros for the class token where they have none, all else has to fit as it is.
    """

    def fit(tensor: Tensor, shape: torch.Size) -> Tensor | None:
        if tensor.ndim == 4 and len(shape) == 5 and tensor.shape[2:] == shape[3:]:
            return inflate_kernel(tensor, shape[2], how, shape[1])
        if tensor.ndim == len(shape) == 3 and tensor.shape[0] == shape[0] == 1:
            if _edge(tensor.shape[1]):
                tensor = torch.cat([torch.zeros_like(tensor[:, :1]), tensor], dim=1)
            edge = _edge(shape[1] - 1)
            if edge and _edge(tensor.shape[1] - 1):
                return resize_positions(tensor, (edge, edge))
        return None

    return fit


def _edge(count: int) -> int:
    """Of a square of so many patches; 0 where they are none."""
    edge = round(count**0.5)
    return edge if edge * edge == count else 0


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

    Convolutions wider than a pixel become `depth` slices deep. All that has none of these (a squeeze and
    excitation, a normalisation of another kind) sees every slice by itself, as it saw an image: means over
    the whole stack would mix a slice with its neighbours, which `center` must not. What a network does
    outside of modules must not care about the number of dimensions; concatenating and adding channels does
    not. Whether all this holds is tried on a small stack, in evaluation mode, before the copy is given out.

    Args:
        network: of `Conv2d` and the like (torchvision, timm), from an image to features; left as it is.
        how: where the weights of a kernel go.
        depth: of the kernels in slices, odd.
        channels: of the image; None keeps those of the first convolution.

    Raises:
        ValueError: a module, which is named, has no counterpart in three dimensions, or the copy does not
            give for slices what `inflate_kernel` promises.
    """
    if depth % 2 == 0:
        raise ValueError(f"depth must be odd, not {depth}")
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ValueError(f"{type(network).__name__} has no convolution to inflate")
    made = _module("", network, first, how, depth, channels)
    _try(network, made, first, how, channels)
    return made


def _module(
    name: str, module: nn.Module, first: nn.Conv2d, how: Inflation, depth: int, channels: int | None
) -> nn.Module:
    children = module._modules  # pyright: ignore[reportPrivateUsage]
    if type(module) is nn.BatchNorm2d:
        return _batch_norm(module)
    if type(module) in (nn.MaxPool2d, nn.AvgPool2d):
        return _pool(cast("nn.MaxPool2d | nn.AvgPool2d", module))
    tensors = [*module.parameters(), *module.buffers()]
    if not children and not tensors and "2d" not in type(module).__name__:
        return copy.deepcopy(module)  # an activation, say, or dropout
    convs = [each for each in module.modules() if isinstance(each, nn.Conv2d)]
    pointwise = all(each.kernel_size == (1, 1) and each is not first for each in convs)
    if pointwise and type(module) not in (nn.Conv2d, nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return _slice_by_slice(module)
    if isinstance(module, nn.Conv2d):
        return _conv(name, module, how, depth, channels if module is first else None)
    copied = copy.copy(module)
    copied._parameters = copy.deepcopy(module._parameters)  # pyright: ignore[reportPrivateUsage]
    copied._buffers = copy.deepcopy(module._buffers)  # pyright: ignore[reportPrivateUsage]
    copied._modules = {}  # pyright: ignore[reportPrivateUsage]
    for key, child in children.items():
        inside = f"{name}.{key}".strip(".")
        made = None if child is None else _module(inside, child, first, how, depth, channels)  # pyright: ignore[reportUnnecessaryComparison]
        copied.register_module(key, made)
    return copied


def _slice_by_slice(module: nn.Module) -> nn.Module:
    """A copy for stacks `(b, c, z, ...)` that gives every slice what `module` gives an image."""
    kind = type(module)

    def forward(self: nn.Module, stacks: Tensor | list[Tensor]) -> Tensor:
        listed = [stacks] if isinstance(stacks, Tensor) else stacks
        images = [stack.transpose(1, 2).flatten(0, 1) for stack in listed]
        found = kind.forward(self, images[0] if isinstance(stacks, Tensor) else images)
        return found.unflatten(0, (len(listed[0]), -1)).transpose(1, 2)

    copied = copy.deepcopy(module)
    copied.__class__ = type(f"{kind.__name__}OfSlices", (kind,), {"forward": forward})
    return copied


def _try(flat: nn.Module, deep: nn.Module, first: nn.Conv2d, how: Inflation, channels: int | None) -> None:
    """Compares what every module gives for a few slices, which for `average` are equal."""
    random = torch.Generator().manual_seed(0)
    slices = torch.rand((3, 1, 64, 64), generator=random).to(first.weight)
    if how == "average":
        slices[:] = slices[0].clone()
    wanted = _features(flat, slices.repeat(1, first.in_channels, 1, 1))
    found = _features(deep, slices.repeat(1, channels or first.in_channels, 1, 1).transpose(0, 1)[None])
    for name, images in wanted.items():
        stacks = found.get(name, [])
        if len(images) != len(stacks) or not all(map(_agree, images, stacks)):
            told = _told(name, flat.get_submodule(name))
            raise ValueError(f"{told} does not give for slices what it gives for images")


def _agree(images: Tensor, stack: Tensor) -> bool:
    slices = stack if stack.ndim == images.ndim else stack[0].transpose(0, 1)
    most = torch.finfo(images.dtype).eps ** 0.5 * images.abs().max()
    return slices.shape == images.shape and bool((slices - images).abs().max() <= most)


@torch.no_grad()
def _features(network: nn.Module, image: Tensor) -> dict[str, list[Tensor]]:
    """What every module gives when it is called first, by its name; innermost modules come first."""
    names = {module: name for name, module in network.named_modules()}
    modes = {module: module.training for module in names}
    features: dict[str, list[Tensor]] = {}
    running: list[nn.Module] = []

    def begin(module: nn.Module, _: Any) -> None:
        if module in names:
            running.append(module)

    def end(module: nn.Module, _: Any, given: Any) -> None:
        if module in names:
            running.pop()
            listed = [given] if isinstance(given, Tensor) else given
            listed = listed.values() if isinstance(listed, dict) else listed
            features.setdefault(names[module], [each.clone() for each in listed if isinstance(each, Tensor)])

    handles = [register_module_forward_pre_hook(begin), register_module_forward_hook(end)]
    try:
        network.eval()(image)
    except Exception as error:
        at = running[-1]
        size = " x ".join(map(str, image.shape))
        raise ValueError(f"{_told(names[at], at)} fails when the network is given {size}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return features


def _told(name: str, module: nn.Module) -> str:
    return f"{name or 'the network'} ({type(module).__name__})"


def _conv(name: str, conv: nn.Conv2d, how: Inflation, depth: int, channels: int | None) -> nn.Module:
    if type(conv) is not nn.Conv2d:
        raise ValueError(f"{_told(name, conv)} has no counterpart in three dimensions")
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        raise ValueError(f"{_told(name, conv)} is padded by {conv.padding!r}, {conv.padding_mode}")
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
