"""The trained segmenter on a volume of any size: boxes of sections, resampled, segmented and put back."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from morula.blockwise import BlockGrid, BlockModel, Tiled, Tiling, Work, as_bytes, label_objects
from morula.blockwise.apply import Sink
from morula.blockwise.grid import Box, relative
from morula.blockwise.receptive import receptive_field
from morula.core.types import Array, ArraySource, Volume
from morula.recipes.emda.decode import Cleaning, probability, restore
from morula.recipes.emda.domains import grey_range, resample, stretched
from morula.recipes.emda.segmenter import segment

__all__ = ["block_model"]

_STEP = 32  # pixels; boxes begin on multiples, where the poolings of every network begin, too
_TILE, _OVERLAP = 512, 0.25  # pixels and share, for a network that looks at all of an image
_TRIED = 256  # pixels of the image that the reach is measured on


def block_model(
    network: nn.Module, volume: Volume, zoom: float, cleaning: Cleaning, fabric: Fabric, *, views: bool
) -> BlockModel:
    """Segments boxes of a volume with axes `zyx`.

    Args:
        network: trained, in evaluation mode.
        volume: which its range of grey is told from.
        zoom: common pixels per stored pixel.
        cleaning: of the foreground, at the stored depth of the sections.
        fabric: device and precision.
        views: whether eight views are averaged.
    """
    reach = _reach(network)
    maps = _Maps(network.to(fabric.device).eval(), fabric, zoom, grey_range(volume), views)
    if reach is None:
        side = ceil(_TILE / zoom)
        predict, halo = Tiled(Tiling(volume.shape, (1, side, side), _OVERLAP), maps.rounded), side
    else:
        halo = ceil(reach / zoom)
        predict = _Widened(maps, halo)
    return BlockModel("mitochondria", ("foreground",), (0, halo, halo), predict, _Decode(cleaning, zoom))


@dataclass(frozen=True)
class _Maps:
    """Foreground probability of stored sections."""

    network: nn.Module
    fabric: Fabric
    zoom: float
    between: tuple[float, float]
    views: bool

    def __call__(self, stack: Array) -> Array:
        common = resample(stretched(stack, self.between), self.zoom)
        device = torch.device(self.fabric.device)
        with self.fabric.autocast():
            maps = probability(segment(self.network), common, device, augment=self.views)
        return restore(maps, stack.shape)

    def rounded(self, stack: Array) -> Array:
        """The same as the one channel of maps, in bytes."""
        return as_bytes(self(stack))[None]


@dataclass(frozen=True)
class _Widened:
    """Reads as much around a box as the network sees: no seam is left to blend."""

    maps: _Maps
    halo: int

    def __call__(self, source: ArraySource, box: Box) -> Array:
        sides = [self._side(each, size) for each, size in zip(box[1:], source.shape[1:], strict=True)]
        wide = (box[0], *sides)
        return self.maps.rounded(np.asarray(source[wide]))[(slice(None), *relative(box, wide))]

    def _side(self, part: slice, size: int) -> slice:
        start = max(part.start - self.halo, 0) // _STEP * _STEP
        return slice(start, min(-(-(part.stop + self.halo) // _STEP) * _STEP, size))


@dataclass(frozen=True)
class _Decode:
    cleaning: Cleaning
    zoom: float

    def __call__(self, maps: ArraySource, sink: Sink, grid: BlockGrid, work: Work) -> int:
        smallest = self.cleaning.smallest / self.zoom**2
        foreground = _First(maps)
        found = label_objects(
            foreground, sink, grid, work, threshold=127, window=self.cleaning.window, smallest=smallest
        )
        return found.count


@dataclass(frozen=True)
class _First:
    """The only channel of maps."""

    maps: ArraySource

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.maps.shape)[1:]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.maps.dtype)

    def __getitem__(self, box: Box, /) -> Array:
        return np.asarray(self.maps[(slice(0, 1), *box)])[0]


def _reach(network: nn.Module) -> int | None:
    """Pixels that the segmenter sees in each direction, measured on the CPU; None for all of them."""
    device = next(network.parameters()).device
    found = receptive_field(segment(network.cpu().eval()), (_TRIED, _TRIED), stride=_STEP)
    network.to(device)
    return None if found is None else max(found)
