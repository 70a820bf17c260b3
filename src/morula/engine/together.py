"""A network that several processes run as one: each takes a part of the batch, all get the whole result.

A loss may couple all samples of a batch: Dice over the batch, contrast with other samples, weights by the
share of positives. So the batch is split in front of the network and put together behind it, and every
process computes the loss of the whole batch, as a single one does. A step is written once for any number.

    x = (x_1 .. x_n)       the batch, equal on all n processes
    y_r = f(x_r)           on process r
    y = (y_1 .. y_n)       gathered; L(y) is equal on all
    dL/dtheta = sum_r J_r' dL/dy_r
              = mean_r J_r' (n dL/dy_r)      the mean is DDP's, the factor n that of `_Gather`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_utilities.core.apply_func import (
    apply_to_collection,  # pyright: ignore[reportUnknownVariableType]
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["Split", "Together", "share"]


class Together(DDPStrategy):
    """Fabric's data parallelism, with networks that take and give whole batches."""

    def setup_module(self, module: nn.Module) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A network as `Fabric.setup` returns it; one without anything to learn is split alike."""
        learns = any(parameter.requires_grad for parameter in module.parameters())
        return Split(super().setup_module(module) if learns else module, self.global_rank, self.world_size)


class Split(nn.Module):
    """Runs a network on this process's part of a batch and gives the result for all of it.

    Batch statistics and dropout masks are those of the whole batch. Tensors of the result are put together
    along the first axis; scalars, such as the losses of a detector, are averaged over the processes.

    Args:
        network: usually wrapped in DDP.
        rank: of this process.
        size: number of processes.
    """

    def __init__(self, network: nn.Module, rank: int, size: int) -> None:
        super().__init__()
        self.network, self._rank, self._size = network, rank, size

    def forward(self, *batch: Any) -> Any:
        """The network's result for the whole batch; tensors and lists of samples are split.

        Raises:
            ValueError: the samples cannot be split evenly.
        """
        own = [share(each, self._rank, self._size) for each in batch]
        with _OneBatch(self._rank, self._size):
            parts = self.network(*own)
        found: list[Tensor] = []
        apply_to_collection(parts, Tensor, found.append)
        wholes: Iterator[Tensor] = iter(_Gather.apply(self._rank, self._size, *found))

        def whole(part: Tensor) -> Tensor:
            del part
            return next(wholes)

        return apply_to_collection(parts, Tensor, whole)


def share(batch: Any, rank: int, size: int) -> Any:
    """This process's part of a tensor's first axis, or of a list.

    >>> share([1, 2, 3, 4], 1, 2), share(torch.arange(4), 0, 2).tolist()
    ([3, 4], [0, 1])

    Raises:
        ValueError: it cannot be split evenly.
    """
    if len(batch) % size:
        raise ValueError(f"{len(batch)} samples cannot be split between {size} processes")
    count = len(batch) // size
    return batch[rank * count : (rank + 1) * count]


class _Gather(torch.autograd.Function):
    """All tensors at once, so that those that no loss uses get zeros and DDP waits for none."""

    @staticmethod
    def forward(ctx: Any, rank: int, size: int, *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.rank, ctx.size = rank, size
        return tuple(_mean(part, size) if part.ndim == 0 else _whole(part, size) for part in parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return (
            None,
            None,
            *(each if each.ndim == 0 else ctx.size * share(each, ctx.rank, ctx.size) for each in gradients),
        )


class _Sum(torch.autograd.Function):
    """The sum over the processes, to which the losses of all processes send their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _total(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _total(gradients[0])


class _OneBatch(TorchFunctionMode):
    """Inside, batch statistics are those of all processes, and dropout masks those of one process."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self._rank, self._size = rank, size

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        if func in {F.dropout, F.dropout2d, F.dropout3d}:
            return self._dropout(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(
        self,
        drop: Callable[..., Tensor],
        x: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        del inplace
        if not training or p == 0:
            return x
        ones = x.new_ones((len(x) * self._size, *x.shape[1:]))
        if x.ndim == 4 and not x.is_contiguous():  # masks are drawn in the order of the memory
            ones = ones.contiguous(memory_format=torch.channels_last)
        return x * share(drop(ones, p, True), self._rank, self._size)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Like `F.batch_norm`, with the statistics of all processes; torch's own does it on GPUs alone."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    axes, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    own = values.new_full((1,), x.numel() // x.shape[1])  # regions of a detector: some have more, some none
    sums = _Sum.apply(torch.cat([values.sum(axes), own]))
    count = sums[-1].detach().clamp(min=1)
    mean = sums[:-1] / count
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            pace = momentum * (sums[-1] > 0).to(running_mean)
            running_mean.lerp_(mean.to(running_mean), pace)
            unbiased = variance * (count / (count - 1).clamp(min=1))
            running_var.lerp_(unbiased.to(running_var), pace)
    found = centred * (variance + eps).rsqrt().view(shape)
    found = found if weight is None else found * weight.view(shape)
    return (found if bias is None else found + bias.view(shape)).to(x.dtype)


def _whole(part: Tensor, size: int) -> Tensor:
    part = part.detach().contiguous()
    parts = [torch.empty_like(part) for _ in range(size)]
    dist.all_gather(parts, part)
    return torch.cat(parts)


def _total(x: Tensor) -> Tensor:
    total = x.detach().clone().contiguous()
    dist.all_reduce(total)
    return total


def _mean(x: Tensor, size: int) -> Tensor:
    return _total(x) / size
