"""The slow copy of an encoder that makes the keys."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["EncodeParts", "MomentumEncoder"]

EncodeParts = Callable[[Callable[[Tensor], Tensor], Sequence[Tensor]], Iterable[Tensor]]
"""Applies an encoder to each part of a batch, in order, like `map`."""


class MomentumEncoder(nn.Module):
    """A copy of an encoder that is never trained, only drawn towards it.

    The parameters follow theta_k <- m theta_k + (1 - m) theta_q (He et al., CVPR 2020, eq. 2). Running
    statistics are not averaged: the copy normalises by the batches of keys that it sees itself. These are
    shuffled and normalised in parts, or else a query could know its key by the statistics they share
    (section 3.3; over parts of a batch on one device, in place of over devices).

    Args:
        encoder: what the queries go through.
        parts: into which a batch of keys is split.
    """

    def __init__(self, encoder: nn.Module, parts: int = 4) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.parts = parts

    @torch.no_grad()
    def follow(self, encoder: nn.Module, momentum: float) -> None:
        """Moves the parameters towards those of `encoder`.

        Args:
            encoder: left as it is; of the same architecture.
            momentum: m in [0, 1].
        """
        for ours, theirs in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
            ours.lerp_(theirs, 1 - momentum)

    @torch.no_grad()
    def forward(self, image: Tensor, order: Tensor, encode: EncodeParts = map) -> Tensor:
        """Keys `(b, d)` of images `(b, c, y, x)`, in the order of the images, without gradient.

        Args:
            image: a batch.
            order: a permutation of 0 .. b - 1 that says which images are normalised together.
            encode: encodes the parts; several processes may share them.
        """
        parts = torch.chunk(image[order], self.parts)
        keys = torch.cat(list(encode(self.encoder, parts)))
        return keys[torch.argsort(order)]
