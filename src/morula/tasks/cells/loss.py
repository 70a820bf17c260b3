"""What the network is trained with: foreground and centre distance, weighted pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from morula.losses import soft_dice, weighted_mean

__all__ = ["loss_of"]


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Foreground: cross-entropy and half a Dice; centre distance: smooth L1; all by the weight map.

    Args:
        logits: `(b, 2, y, x)`.
        target: `(b, 3, y, x)` foreground, centre distance, weight.
    """
    inside, distance, weight = target.unbind(dim=1)
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], inside, reduction="none")
    far = F.smooth_l1_loss(torch.sigmoid(logits[:, 1]), distance, reduction="none", beta=0.1)
    overlap = soft_dice(torch.sigmoid(logits[:, 0]), inside, weight)
    return weighted_mean(entropy, weight) + 0.5 * overlap + 2 * weighted_mean(far * (0.2 + inside), weight)
