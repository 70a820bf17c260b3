"""The losses of the downstream networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["IGNORE", "final_loss", "nll"]

IGNORE = 2
"""Target value of pixels that do not count."""


def nll(logits: Tensor, target: Tensor, *, double_softmax: bool) -> Tensor:
    """Mean negative log-likelihood over the pixels whose target is not `IGNORE`.

    The published code applies softmax before log-softmax: no pixel's loss then falls below
    log(1 + 1/e) = 0.313, as if the largest probability were 0.731. The effect is that of label smoothing.

    Args:
        logits: `(b, 2, y, x)`.
        target: `(b, y, x)` int64, 0 = background, 1 = nucleus, `IGNORE`.
        double_softmax: reproduce that.

    Returns:
        A scalar; 0 where all is ignored (the published code gives NaN there).
    """
    scores = logits.float().softmax(dim=1) if double_softmax else logits.float()
    total = F.nll_loss(F.log_softmax(scores, dim=1), target, ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)


def final_loss(
    logits: Tensor, mask: Tensor, voronoi: Tensor, *, voronoi_weight: float, double_softmax: bool
) -> Tensor:
    """L = NLL(mask) + w NLL(voronoi): background from the pseudo-mask, nuclei from the points alone.

    Args:
        logits: `(b, 2, y, x)`.
        mask: `(b, y, x)` int64 pseudo-mask, 0 = background, 1 = nucleus; nuclei are ignored.
        voronoi: `(b, y, x)` int64, 0 on borders, 1 on points, `IGNORE` elsewhere.
        voronoi_weight: w, 1.5 as published.
        double_softmax: see `nll`.
    """
    background = torch.where(mask == 0, 0, IGNORE)
    first = nll(logits, background, double_softmax=double_softmax)
    return first + voronoi_weight * nll(logits, voronoi, double_softmax=double_softmax)
