"""From two dimensions to three: networks that learned from natural images become networks for stacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.nets.inflate_trial import RefusedError, Trial, told_of

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

    same = False
    """Whether y and x are padded for `ceil(size / stride)` positions, in place of `padding`."""

    def forward(self, input: Tensor) -> Tensor:
        """Features `(b, out, z, y', x')` of `(b, in, z, y, x)`."""
        beyond = (self.kernel_size[0] - 1) // 2
        if beyond:
            input = F.pad(input, (0, 0, 0, 0, beyond, self.kernel_size[0] - 1 - beyond), mode="replicate")
        padding = (0, *cast("tuple[int, ...]", self.padding)[1:])
        if self.same:
            input, padding = F.pad(input, [*self._around(2, input), *self._around(1, input)]), 0
        return F.conv3d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _around(self, axis: int, input: Tensor) -> tuple[int, int]:
        size, stride = input.shape[2 + axis], self.stride[axis]
        reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2


class _ConvOfBatch(Conv3dOfSlices):
    """The same where code for images calls it: with the slices of all stacks as one batch."""

    stacks = 1
    """How many stacks that batch is made of."""

    def forward(self, input: Tensor) -> Tensor:
        """Features `(b * z, out, y', x')` of `(b * z, in, y, x)`."""
        given = input.unflatten(0, (self.stacks, -1)).transpose(1, 2)
        return super().forward(given).transpose(1, 2).flatten(0, 1)


class _OfSlices(nn.Module):
    """Before a class for images `(n, c, ...)`, makes it one for stacks `(b, c, z, ...)`."""

    def forward(self, stacks: Tensor | list[Tensor]) -> Any:
        """What the class gives for all slices as one batch, as stacks again."""
        listed = [stacks] if isinstance(stacks, Tensor) else stacks
        count = len(listed[0])
        for each in self.modules():
            if isinstance(each, _ConvOfBatch):
                each.stacks = count
        images = [stack.transpose(1, 2).flatten(0, 1) for stack in listed]
        return _unfold(super().forward(images[0] if isinstance(stacks, Tensor) else images), count)


def _unfold(given: Any, count: int) -> Any:
    if isinstance(given, Tensor):
        return given.unflatten(0, (count, -1)).transpose(1, 2)
    if isinstance(given, dict):
        named = cast("dict[str, Any]", given)
        return {name: _unfold(each, count) for name, each in named.items()}
    return [_unfold(each, count) for each in given]


def inflated(network: nn.Module, how: Inflation, *, depth: int = 3, channels: int | None = None) -> nn.Module:
    """A 3D copy of a 2D ConvNet: the same names, the same strides in the plane, no stride along z.

    Convolutions wider than a pixel become `depth` slices deep. All that has none of these (a squeeze and
    excitation, a normalisation of another kind) sees every slice by itself, as it saw an image: means over
    the whole stack would mix a slice with its neighbours, which `center` must not. A module whose own code
    is for images only (a block of ConvNeXt, ShuffleNet's shuffle, `flatten` and the classifier after it)
    runs that code on the slices of all stacks as one batch, where its convolutions see the stacks; a
    whole classifier gives `(b, classes, z)`. Whether a module needs this, and whether the whole is right,
    is tried on a small stack, in evaluation mode, before the copy is given out. While training, such code
    drops out slices where it dropped out images.

    Args:
        network: of `Conv2d` and the like (torchvision, timm), from an image to features; left as it is.
        how: where the weights of a kernel go.
        depth: of the kernels in slices, odd.
        channels: of the image; None keeps those of the first convolution.

    Raises:
        ValueError: a module, which is named, has no counterpart in three dimensions, or the copy does not
            give for slices what `inflate_kernel` promises, or an image changes what others beside it
            give.
    """
    if depth % 2 == 0:
        raise ValueError(f"depth must be odd, not {depth}")
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ValueError(f"{type(network).__name__} has no convolution to inflate")
    way = _Way(first, how, depth, channels)
    trial = Trial(network, first, equal=how == "average")
    refused: RefusedError | None = None
    while True:
        made = _module("", network, way)
        try:
            trial.compare(made, channels or first.in_channels)
        except RefusedError as error:
            refused = refused or error  # names the innermost module; those around it may do in its place
            kind = _around(network, error.name, way.batched)
        else:
            return made
        if kind is None:
            raise refused
        way = replace(way, batched=way.batched | {kind})


@dataclass(frozen=True)
class _Way:
    """How to inflate: the network's first convolution, and whose code is run on the slices as one batch."""

    first: nn.Conv2d
    how: Inflation
    depth: int
    channels: int | None
    batched: frozenset[type[nn.Module]] = frozenset()

    def whole(self, conv: nn.Module) -> bool:
        """Whether it is a convolution that has to see whole stacks, or to change its channels."""
        return isinstance(conv, nn.Conv2d) and (conv is self.first or conv.kernel_size != (1, 1))


_NOT_BATCHED = (nn.Conv2d, nn.ModuleList, nn.ModuleDict)  # has its 3D counterpart, or no code of its own


def _around(network: nn.Module, name: str, batched: frozenset[type[nn.Module]]) -> type[nn.Module] | None:
    """The innermost kind, of the module of that name and those around it, that is not yet in `batched`."""
    parts = name.split(".") if name else []
    for count in range(len(parts), -1, -1):
        kind = type(network.get_submodule(".".join(parts[:count])))
        if kind not in _NOT_BATCHED and kind not in batched:
            return kind
    return None


def _module(name: str, module: nn.Module, way: _Way) -> nn.Module:
    children = module._modules  # pyright: ignore[reportPrivateUsage]
    if type(module) in way.batched:
        return _slice_by_slice(name, module, way)
    if type(module) is nn.BatchNorm2d:
        return _batch_norm(module)
    if type(module) in (nn.MaxPool2d, nn.AvgPool2d):
        return _pool(cast("nn.MaxPool2d | nn.AvgPool2d", module))
    tensors = [*module.parameters(), *module.buffers()]
    if not children and not tensors and "2d" not in type(module).__name__:
        return copy.deepcopy(module)  # an activation, say, or dropout
    flat = not any(map(way.whole, module.modules()))
    if flat and type(module) not in (nn.Conv2d, nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return _slice_by_slice(name, module, way)
    if isinstance(module, nn.Conv2d):
        return _conv(name, module, way)
    copied = copy.copy(module)
    copied._parameters = copy.deepcopy(module._parameters)  # pyright: ignore[reportPrivateUsage]
    copied._buffers = copy.deepcopy(module._buffers)  # pyright: ignore[reportPrivateUsage]
    copied._modules = {}  # pyright: ignore[reportPrivateUsage]
    for key, child in children.items():
        inside = f"{name}.{key}".strip(".")
        made = None if child is None else _module(inside, child, way)  # pyright: ignore[reportUnnecessaryComparison]
        copied.register_module(key, made)
    return copied


def _slice_by_slice(name: str, module: nn.Module, way: _Way) -> nn.Module:
    """A copy for stacks `(b, c, z, ...)` that runs the code of `module` on the slices as a batch of images.

    Its convolutions wider than a pixel see the stacks nonetheless.
    """
    copied = copy.deepcopy(module)
    for inside, each in module.named_modules():
        if way.whole(each):
            deep = _conv(f"{name}.{inside}".strip("."), cast(nn.Conv2d, each), way, _ConvOfBatch)
            copied.set_submodule(inside, deep)
    kind = type(module)
    copied.__class__ = type(f"{kind.__name__}OfSlices", (_OfSlices, kind), {})
    return copied


def _conv(
    name: str, conv: nn.Conv2d, way: _Way, kind: type[Conv3dOfSlices] = Conv3dOfSlices
) -> Conv3dOfSlices:
    padded = type(conv).__name__ == "Conv2dSame"  # of timm, which is slow to import
    same = padded or conv.padding == "same"
    if type(conv) is not nn.Conv2d and not padded:
        raise ValueError(f"{told_of(name, conv)} has no counterpart in three dimensions")
    padding = (0, 0) if same or conv.padding == "valid" else cast("tuple[int, ...]", conv.padding)
    if conv.padding_mode != "zeros":
        raise ValueError(f"{told_of(name, conv)} is padded by {conv.padding!r}, {conv.padding_mode}")
    deep = 1 if conv.kernel_size == (1, 1) else way.depth
    channels = way.channels if conv is way.first else None
    wide = conv.in_channels if channels is None else channels
    made = kind(
        wide,
        conv.out_channels,
        (deep, conv.kernel_size[0], conv.kernel_size[1]),
        (1, conv.stride[0], conv.stride[1]),
        (deep // 2, padding[0], padding[1]),
        (1, conv.dilation[0], conv.dilation[1]),
        conv.groups,
        bias=conv.bias is not None,
    )
    made.same = same
    with torch.no_grad():
        made.weight.copy_(inflate_kernel(conv.weight, deep, way.how, channels))
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
