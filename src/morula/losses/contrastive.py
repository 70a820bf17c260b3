"""Losses that pull two views of one thing together and push other things away."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["info_nce"]


def info_nce(
    query: Tensor, key: Tensor, negatives: Tensor, temperature: float, same: Tensor | None = None
) -> Tensor:
    """InfoNCE of MoCo: find the key of the same crop among the negatives.

        L = -log [ exp(q k+ / t) / (exp(q k+ / t) + sum_i exp(q k_i / t)) ],        averaged over the queries

    Args:
        query: `(b, d)`, of length 1 along `d`.
        key: `(b, d)` the other view of each query, of length 1; give it without gradient.
        negatives: `(k, d)`, of length 1.
        temperature: t.
        same: `(b, k)` true where a negative comes from the query's own image, and so is none; such pairs are
            left out of the sum. None keeps all.

    Returns:
        A scalar.

    Source: He et al., "Momentum contrast for unsupervised visual representation learning", CVPR 2020, eq. 1.
    """
    positive = (query * key).sum(dim=1, keepdim=True)
    others = query @ negatives.T
    if same is not None:
        others = others.masked_fill(same, -torch.inf)
    logits = torch.cat([positive, others], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))
