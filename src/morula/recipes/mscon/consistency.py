"""Two views through one network, and the losses that ask for consistency over the pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.tasks.neurons import Backbone

__all__ = ["Seen", "Siamese", "coded_similarity", "info_nce"]

_HEADS = 4


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE of rows that belong together by their place: the diagonal of the similarity matrix.

    The mean over i of -log( e^{a_i b_i / tau} / sum_j e^{a_i b_j / tau} ) and of the same with a and b
    exchanged; a, b are the rows at unit length (Oord et al., 2018, eq. 4, both ways).

    Args:
        first: `(b, n, d)`; the rows of all samples are each other's negatives.
        second: the same shape.
        temperature: tau.
    """
    a, b = (F.normalize(each.flatten(0, 1).float(), dim=-1) for each in (first, second))
    logits = a @ b.t() / temperature
    partner = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, partner) + F.cross_entropy(logits.t(), partner))


def coded_similarity(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The contrast of the public code: mean_i -log( e^{c_i} / sum_j e^{c_j} ), c_i = cos(a_i, b_i) / tau.

    It is degenerate. It equals logsumexp(c) - mean(c), which is at least log n and is log n whenever all c_i
    are equal, at any value: nothing raises a similarity, for no pair is there that does not belong together.

    Args:
        first: `(b, n, d)`.
        second: the same shape.
        temperature: tau.
    """
    c = F.cosine_similarity(first.flatten(0, 1).float(), second.flatten(0, 1).float(), dim=-1) / temperature
    return torch.logsumexp(c, dim=0) - c.mean()


class Seen(NamedTuple):
    """What the network makes of a weak and a strong view; names as in the paper.

    Attributes:
        o_w: the crop, restored from the weak view, `(b, 1, z, y, x)`.
        o_s: the crop, restored from the strong view.
        x: pooled features of the weak view, `(b, n, d)`: a row for each channel that takes part.
        y: the same channels of the strong view.
        x_y: the rows of the weak view in words of the strong one: mha(X, Y, Y).
        y_x: the other way round: mha(Y, X, X).
    """

    o_w: Tensor
    o_s: Tensor
    x: Tensor
    y: Tensor
    x_y: Tensor
    y_x: Tensor


class Siamese(nn.Module):
    """One network for both views, and one cross-attention for both ways.

    Args:
        network: without skips.
        pooled: edge of the cube that each channel is pooled to; rows have its volume as length.
        everything: let all channels take part, not a random (k + 1) tenths of those of level k.
    """

    def __init__(self, network: Backbone, pooled: int, *, everything: bool) -> None:
        super().__init__()
        self.network, self._pooled, self._everything = network, pooled, everything
        self.attention = nn.MultiheadAttention(pooled**3, _HEADS, batch_first=True)

    def forward(self, weak: Tensor, strong: Tensor) -> Seen:
        """Both views `(b, 1, z, y, x)`, restored and compared."""
        pyramids = self.network.pyramid(weak), self.network.pyramid(strong)
        o_w, o_s = (self.network.read_out(each, weak.shape[2:]) for each in pyramids)
        kept = self._channels([level.shape[1] for level in pyramids[0]])
        x, y = (self._rows(each, kept) for each in pyramids)
        x_y = self.attention(x, y, y, need_weights=False)[0]
        y_x = self.attention(y, x, x, need_weights=False)[0]
        return Seen(o_w, o_s, x, y, x_y, y_x)

    def _channels(self, widths: Sequence[int]) -> list[Tensor]:
        if self._everything:
            return [torch.arange(width) for width in widths]
        counts = [max(1, width * (level + 1) // 10) for level, width in enumerate(widths)]
        return [torch.randperm(width)[:count] for width, count in zip(widths, counts, strict=True)]

    def _rows(self, pyramid: Sequence[Tensor], channels: Sequence[Tensor]) -> Tensor:
        rows = [
            F.adaptive_avg_pool3d(level[:, kept.to(level.device)].float(), self._pooled).flatten(2)
            for level, kept in zip(pyramid, channels, strict=True)
        ]
        return torch.cat(rows, dim=1)
