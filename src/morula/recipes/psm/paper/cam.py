"""Stage 2: the prior self-activation map, Grad-CAM of the network's own output at its shallow blocks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["activation_map", "capture", "unit"]

_EPS = 1e-7


def activation_map(network: nn.Module, blocks: nn.Sequential, image: Tensor) -> Tensor:
    """The prior self-activation map (PSM) of one image.

    The output f(x) itself is differentiated and not the task's loss. For every block l with activations A_l
    and gradients G_l = df/dA_l: C_l = sum_c mean_yx(G_lc) A_lc, shifted and scaled to [0, 1] (no ReLU before
    that), resized bilinearly. PSM = mean_l max(C_l, 0), stretched to [0, 1]. Since f and -f solve the task
    equally well, its sign is arbitrary. Of several outputs the sum is differentiated (our choice).

    Args:
        network: f; evaluated as in `eval()`, its mode is as before afterwards.
        blocks: the blocks of its first layer.
        image: `(3, y, x)` float, scaled as f is meant to see it, on the network's device.

    Returns:
        `(y, x)` float32 in [0, 1], zeros where f does not depend on the activations.
    """
    with _evaluated(network), torch.enable_grad(), capture(blocks) as activations:
        output = network(image[None].detach().requires_grad_())
        gradients = torch.autograd.grad(output.sum(), activations)
    size = (int(image.shape[-2]), int(image.shape[-1]))
    maps = [_cam(a.detach(), g, size) for a, g in zip(activations, gradients, strict=True)]
    return unit(torch.stack(maps).clamp(min=0).mean(dim=0))


@contextmanager
def capture(blocks: nn.Sequential) -> Generator[list[Tensor]]:
    """The outputs of the blocks while the block runs; no hook is left behind."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        found.append(output)

    with ExitStack() as stack:
        for block in blocks:
            handle = block.register_forward_hook(keep)
            stack.callback(handle.remove)
        yield found


def unit(values: Tensor) -> Tensor:
    """(v - min) / (1e-7 + max(v - min)), the scaling of the public Grad-CAM library."""
    shifted = values - values.min()
    return shifted / (_EPS + shifted.max())


def _cam(activations: Tensor, gradients: Tensor, size: tuple[int, int]) -> Tensor:
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    cam = unit((weights * activations).sum(dim=1, keepdim=True).float())
    return F.interpolate(cam, size, mode="bilinear", align_corners=False)[0, 0]


@contextmanager
def _evaluated(network: nn.Module) -> Generator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
