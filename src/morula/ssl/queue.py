"""The dictionary of momentum contrast: keys of past batches, first in, first out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.core.rng import Rng

__all__ = ["KeyQueue"]

_NOBODY = -1  # image of the random keys that fill a new queue


class KeyQueue(nn.Module):
    """A ring of keys, each with the number of the image that it was cut from.

    Few microscopy images make many crops, so that a query meets crops of its own image in the queue; `same`
    says which, and the loss leaves them out. All is kept in buffers: a resumed training finds the same ring.

    Attributes:
        keys: `(size, dim)`, of length 1 along `dim`; random directions at first.
        images: `(size,)` the image of each key, -1 for those that were there at first.
        place: where the next key goes.

    Source: He et al., CVPR 2020, section 3.2.
    """

    keys: Tensor
    images: Tensor
    place: Tensor

    def __init__(self, size: int, dim: int, rng: Rng) -> None:
        super().__init__()
        first = torch.from_numpy(rng.at(0).standard_normal((size, dim), dtype="float32"))
        self.register_buffer("keys", F.normalize(first, dim=1))
        self.register_buffer("images", torch.full((size,), _NOBODY, dtype=torch.long))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor, images: Tensor) -> None:
        """Puts keys in the place of the oldest; goes on at the start where the ring ends.

        Args:
            keys: `(b, dim)` of length 1.
            images: `(b,)` numbers of their images, 0 or more.

        Raises:
            ValueError: there are more keys than places.
        """
        size = len(self.keys)
        if len(keys) > size:
            raise ValueError(f"{len(keys)} keys do not fit into a queue of {size}")
        places = (self.place + torch.arange(len(keys), device=self.keys.device)) % size
        self.keys[places] = keys.detach().to(self.keys)
        self.images[places] = images.to(self.images)
        self.place.copy_((self.place + len(keys)) % size)

    def same(self, images: Tensor) -> Tensor:
        """`(b, size)`: whether a key was cut from the image of a query.

        Args:
            images: `(b,)` numbers of the queries' images.
        """
        return images.to(self.images)[:, None] == self.images[None]
