"""Stage 1: the activation network and the self-supervised proxy tasks that it can be trained on.

A task sees images of 0-255 as `(b, 3, y, x)` and `f`, the network, which gives `(b, outputs)`. A constant f
solves `similarity` and `simsiam`: they have neither negatives nor a variance term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.core.errors import UsageError
from morula.recipes.psm.paper.config import Proxy

__all__ = [
    "ActivationNetwork",
    "contrastive",
    "mean_value",
    "proxy_loss",
    "random_rotate",
    "rot180",
    "similarity",
    "simsiam",
]

Embed = Callable[[Tensor], Tensor]
_WIDE = 1000


class ActivationNetwork(nn.Module):
    """A randomly initialised timm network f with one output, or 1000 where the task needs a vector.

    Args:
        name: of a timm network with a `layer1`, such as `res2net101_26w_4s`.
        proxy: the task; `simsiam` adds its two linear predictors.

    Raises:
        UsageError: there is no such network, or it has no `layer1`.
    """

    def __init__(self, name: str, proxy: Proxy = "similarity") -> None:
        super().__init__()
        if not timm.is_model(name):
            raise UsageError("activation.network", f"timm has no network {name!r}", "try res2net50_26w_4s")
        wide = proxy in {"random_rotate", "simsiam"}
        self.backbone = timm.create_model(name, pretrained=False, num_classes=_WIDE if wide else 1)
        self.predictors = nn.ModuleList(nn.Linear(_WIDE, 1) for _ in range(2 * (proxy == "simsiam")))
        if not isinstance(getattr(self.backbone, "layer1", None), nn.Sequential):
            fix = "choose a ResNet or Res2Net, such as res2net50_26w_4s"
            raise UsageError("activation.network", f"{name} has no layer1 to read maps from", fix)

    @property
    def layer1(self) -> nn.Sequential:
        """The blocks that the maps are read from."""
        return cast(nn.Sequential, self.backbone.layer1)

    def forward(self, images: Tensor) -> Tensor:
        """f(x), `(b, outputs)`."""
        return self.backbone(images)


def proxy_loss(
    network: ActivationNetwork, images: Tensor, *, proxy: Proxy, turns: Tensor, margin: float
) -> Tensor:
    """The loss of the task of this name.

    Args:
        network: f with its predictors; any module that calls alike.
        images: `(b, 3, y, x)` of 0-255, square.
        proxy: the task.
        turns: `(b,)` quarter turns in 0..3; used by `random_rotate`.
        margin: of `contrastive`.
    """
    match proxy:
        case "similarity":
            return similarity(network, images)
        case "contrastive":
            return contrastive(network, images, margin)
        case "random_rotate":
            return random_rotate(network, images, turns)
        case "simsiam":
            first, second = network.predictors
            return simsiam(network, first, second, images)
        case "mean_value":
            return mean_value(network, images)


def rot180(images: Tensor) -> Tensor:
    """Images `(b, c, y, x)` turned by half a turn."""
    return images.flip(-2, -1)


def similarity(f: Embed, images: Tensor) -> Tensor:
    """L = mean_b |f(x_b) - f(rot180 x_b)|, the task whose checkpoint the authors released."""
    return (f(images) - f(rot180(images))).abs().sum() / len(images)


def contrastive(f: Embed, images: Tensor, margin: float = 10.0) -> Tensor:
    """L = max(MSE(f(rot180 a), f(a)) - MSE(f(n), f(a)) + margin, 0).

    The last image is the negative n of all others, the anchors a (published: three and one).
    """
    anchors, negative = f(images[:-1]), f(images[-1:])
    positives = f(rot180(images[:-1]))
    near, far = F.mse_loss(positives, anchors), F.mse_loss(negative.expand_as(anchors), anchors)
    return (near - far + margin).clamp(min=0)


def random_rotate(f: Embed, images: Tensor, turns: Tensor) -> Tensor:
    """L = MSE(f(rot90^n x), n): every output regresses the number of quarter turns n of its image.

    That each image has a turn of its own is our reading.

    Args:
        f: gives `(b, outputs)`.
        images: `(b, c, y, x)`, square.
        turns: `(b,)` n in 0..3.
    """
    turned = torch.stack([torch.rot90(x, int(n), (-2, -1)) for x, n in zip(images, turns, strict=True)])
    outputs = f(turned)
    return F.mse_loss(outputs, turns.to(outputs.dtype)[:, None].expand_as(outputs))


def simsiam(f: Embed, first: Embed, second: Embed, images: Tensor) -> Tensor:
    """L = (|p - sg(q)| + |q - sg(p)|) / 2 with p = first(f(x)), q = second(f(rot180 x)), sg = stop-gradient.

    L1 and not the cosine of SimSiam, with two linear predictors. The view (half a turn) and that both
    predictions are compared (they are scalars, f is not) are our reading.
    """
    p, q = first(f(images)), second(f(rot180(images)))
    return 0.5 * (F.l1_loss(p, q.detach()) + F.l1_loss(q, p.detach()))


def mean_value(f: Embed, images: Tensor) -> Tensor:
    """L = mean_b |f(x_b) - mean pixel of x_b|, the pixels of 0-255."""
    return F.l1_loss(f(images).squeeze(1), images.mean(dim=(1, 2, 3)))
