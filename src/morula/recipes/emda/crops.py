"""Batches for training: where crops are taken, how they are varied, and in which style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from morula.core.errors import DataError
from morula.core.rng import Rng
from morula.core.types import Array
from morula.recipes.emda.augment import PAPER, Geometry, Grey, recolour, warp
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.domains import Domain, Domains
from morula.recipes.emda.style import Style

__all__ = ["GEOMETRY", "GREY", "Crops", "Labelled"]

GEOMETRY = Geometry(rotation=180.0, scale=(0.8, 1.25), probability=0.8)
"""Of the strong augmentation. After harmonising, objects differ in size by what biology leaves: a wider
range of scales cost accuracy on the open data."""

GREY = Grey(gamma=0.5, contrast=0.4, brightness=0.12, blur=1.6, gaussian=0.08, cutout=0.25, probability=0.7)

_BLACK = 0.5  # a crop with at least this part of zeros shows too little, as published
_TRIES = 12


@dataclass(frozen=True)
class Labelled:
    """Source crops: images `(b, 1, y, x)` in [0, 1] and labels `(b, y, x)` in [0, 1]."""

    image: Tensor
    label: Tensor


class Crops:
    """Draws batches of both domains; batch i depends on the stream and i alone.

    Args:
        domains: where crops come from.
        config: size, number, style and augmentation.
        rng: all the randomness.
    """

    def __init__(self, domains: Domains, config: EmdaConfig, rng: Rng) -> None:
        self._domains, self._config, self._rng = domains, config, rng
        self._style = Style(config.style, config.style_share, domains.target.images)
        self._strong = config.augment == "strong"
        self._geometry = GEOMETRY if self._strong else PAPER
        self._inside = [
            (stack, section)
            for stack, mask in enumerate(domains.source.masks)
            for section in np.flatnonzero(mask.any(axis=(1, 2))).tolist()
        ]

    def labelled(self, index: int) -> Labelled:
        """Source batch `index`."""
        draw = self._rng.child("source").at(index)
        return self._batch([self._source_crop(draw) for _ in range(self._config.batch)], draw)

    def target(self, index: int, count: int | None = None) -> Tensor:
        """Target batch `index`, `(b, 1, y, x)` in [0, 1], its grey values as they are."""
        return self._unlabelled(self._domains.target, "target", index, count or self._config.target_batch)

    def source_pairs(self, index: int, gap: int) -> Labelled:
        """Source batch `index` of two sections that are `gap` apart, and where they differ.

        Returns:
            Images `(b, 2, y, x)`, varied alike, and labels `(b, y, x)`: 1 where a mitochondrion is in one of
            both alone. There are as many as target crops.

        Raises:
            DataError: no volume is so deep.
        """
        draw = self._rng.child("source pairs").at(index)
        return self._batch([self._source_pair(draw, gap) for _ in range(self._config.target_batch)], draw)

    def target_pairs(self, index: int, gap: int) -> Tensor:
        """Target batch `index`, `(b, 2, y, x)` in [0, 1]: sections that are `gap` apart.

        Raises:
            DataError: no volume is so deep.
        """
        return self._unlabelled(self._domains.target, "target pairs", index, self._config.target_batch, gap)

    def unlabelled_source(self, index: int, count: int | None = None) -> Tensor:
        """Source batch `index` without labels and style, `(b, 1, y, x)` in [0, 1]."""
        return self._unlabelled(self._domains.source, "unlabelled", index, count or self._config.batch)

    def _unlabelled(self, domain: Domain, stream: str, index: int, count: int, gap: int = 0) -> Tensor:
        """Batch `index` of a stream of plain crops."""
        draw = self._rng.child(stream).at(index)
        return torch.from_numpy(np.stack([self._plain(domain, draw, gap) for _ in range(count)]))

    def _batch(self, crops: Sequence[tuple[Array, Array]], draw: np.random.Generator) -> Labelled:
        """Crops and their labels together, the grey values varied."""
        images, labels = (np.stack(part) for part in zip(*crops, strict=True))
        if self._strong:
            images = recolour(images, draw, GREY)
        return Labelled(torch.from_numpy(images), torch.from_numpy(labels.astype(np.float32)))

    def _source_crop(self, draw: np.random.Generator) -> tuple[Array, Array]:
        source, size = self._domains.source, self._config.crop
        changes = self._style.draw(draw)
        centred = draw.random() < self._config.balance
        stack, section, *corner = self._on_object(draw) if centred else _anywhere(source, draw, size)
        image, mask = source.images[stack][section], source.masks[stack][section]
        return self._styled(image[None], mask, corner, changes, draw)

    def _source_pair(self, draw: np.random.Generator, gap: int) -> tuple[Array, Array]:
        source = self._domains.source
        changes = self._style.draw(draw)
        stack, section, *corner = _anywhere(source, draw, self._config.crop, gap)
        one, other = _apart(source.masks[stack], section, gap)
        return self._styled(_apart(source.images[stack], section, gap), one ^ other, corner, changes, draw)

    def _styled(
        self,
        sections: Array,
        label: Array,
        corner: Sequence[int],
        changes: frozenset[str],
        draw: np.random.Generator,
    ) -> tuple[Array, Array]:
        """A crop `(n, y, x)` in [0, 1] of whole sections in the target's style, and its label."""
        place = self._place(corner, label.shape)
        image, cut = warp(
            self._style.sections(sections, changes, draw)[..., *place][None].astype(np.float32),
            label[place][None],
            draw,
            size=self._config.crop,
            geometry=self._geometry,
        )
        other = self._plain(self._domains.target, draw)[0] * 255 if "fourier" in changes else None
        return self._style.crop(image[0], other, changes, draw) / 255, cut[0]

    def _plain(self, domain: Domain, draw: np.random.Generator, gap: int = 0) -> Array:
        """A crop `(1, y, x)` in [0, 1] with the geometry alone; with a gap of two sections, `(2, y, x)`."""
        size = self._config.crop
        stack, section, *corner = _anywhere(domain, draw, size, gap)
        images = _apart(domain.images[stack], section, gap)
        part = images[..., *self._place(corner, images.shape[1:])].astype(np.float32)
        blank = np.zeros((1, *part.shape[1:]), np.uint8)
        return warp(part[None], blank, draw, size=size, geometry=self._geometry)[0][0] / 255

    def _place(self, corner: Sequence[int], shape: Sequence[int]) -> tuple[Array, Array]:
        """Index of a crop with its margin in a section of this shape, mirrored at the borders."""
        rows, columns = (
            _reflected(start, self._config.crop, self._margin, length)
            for start, length in zip(corner, shape, strict=True)
        )
        return rows[:, None], columns[None]

    @property
    def _margin(self) -> int:
        """Surroundings that a turn by 45 degrees or the strongest reduction brings into view."""
        return round(self._config.crop * (0.25 if self._strong else 0.21))

    def _on_object(self, draw: np.random.Generator) -> tuple[int, int, int, int]:
        """A crop whose centre is on a mitochondrion: stack, section, top, left."""
        stack, section = self._inside[int(draw.integers(len(self._inside)))]
        mask = self._domains.source.masks[stack][section]
        place = np.flatnonzero(mask)[int(draw.integers(int(np.count_nonzero(mask))))]
        y, x = divmod(int(place), mask.shape[1])
        half = self._config.crop // 2
        return stack, section, y - half, x - half


def _anywhere(
    domain: Domain, draw: np.random.Generator, size: int, gap: int = 0
) -> tuple[int, int, int, int]:
    """A crop inside a section, mostly not black if that can be had: stack, section, top, left.

    There is another section `gap` below it.
    """
    counts = np.array([max(0, len(stack) - gap) for stack in domain.images])
    if not counts.any():
        deepest = max(map(len, domain.images))
        found = f"no volume has sections {gap} apart; the deepest has {deepest}"
        raise DataError("--preset", found, "give deeper volumes, or choose another strategy")
    choice = (0, 0, 0, 0)
    for _ in range(_TRIES):
        number = int(draw.integers(counts.sum()))
        stack = int(np.searchsorted(np.cumsum(counts), number, side="right"))
        section = number - int(counts[:stack].sum())
        image = domain.images[stack][section]
        y, x = (int(draw.integers(max(1, length - size + 1))) for length in image.shape)
        choice = (stack, section, y, x)
        if np.count_nonzero(image[y : y + size, x : x + size] == 0) < _BLACK * size * size:
            break
    return choice


def _apart(stack: Array, section: int, gap: int) -> Array:
    """A section and the one `gap` below it, `(2, y, x)`; itself alone, `(1, y, x)`, where there is no gap."""
    return stack[section : section + gap + 1 : max(gap, 1)]


def _reflected(start: int, size: int, margin: int, length: int) -> Array:
    """Indices of a crop with its margin along one axis; what lies outside is mirrored at the border."""
    places = np.arange(start - margin, start + size + margin)
    period = max(2 * (length - 1), 1)
    folded = np.abs(places) % period
    return np.minimum(folded, period - folded)
