"""The trained segmenter on a volume of any size: tiles on one lattice, one agglomeration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from morula.blockwise import (
    BlockGrid,
    BlockModel,
    Box,
    Scoring,
    StoredAffinities,
    Tiled,
    Tiling,
    Work,
    as_bytes,
    segment,
)
from morula.blockwise.apply import Sink
from morula.core.affinities import Affinities, Offset
from morula.core.types import Array, ArraySource, Volume
from morula.post import RegionGraph, agglomerate
from morula.tasks.neurons.block import grey_range, scaled
from morula.tasks.neurons.decode import Decoder
from morula.tasks.neurons.mirror import averaged
from morula.tasks.neurons.settings import Decode

__all__ = ["block_model"]


def block_model(
    network: nn.Module,
    volume: Volume,
    offsets: tuple[Offset, ...],
    decoder: Decoder,
    settings: Decode,
    fabric: Fabric,
) -> BlockModel:
    """Segments boxes of a volume with axes `zyx`.

    Args:
        network: trained; volumes `(b, 1, z, y, x)` to logits of the affinities.
        volume: which its range of grey is told from.
        offsets: of the affinities.
        decoder: with its threshold.
        settings: how tiles are laid.
        fabric: device and precision.
    """
    low, high = grey_range(volume)
    tiling = Tiling(volume.shape, settings.voxels, settings.overlap)
    z, y, x = settings.voxels
    maps = _Maps(network.to(fabric.device).eval(), fabric, low, high, offsets, decoder, settings.mirrors)
    names = tuple(f"affinity {' '.join(map(str, each))}" for each in offsets)
    scoring = Scoring("neuron", _Sure(offsets, decoder))
    return BlockModel("neurons", names, (z, y, x), Tiled(tiling, maps), _Decode(offsets, decoder), scoring)


@dataclass(frozen=True)
class _Maps:
    """The affinities of a tile, in bytes."""

    network: nn.Module
    fabric: Fabric
    low: float
    high: float
    offsets: tuple[Offset, ...]
    decoder: Decoder
    mirrors: int

    def __call__(self, values: Array) -> Array:
        unit = scaled(values, self.low, self.high)
        found = self.decoder.drawn(averaged(self._affinities, unit, self.mirrors), unit)
        return as_bytes(found.values.astype(np.float32, copy=False))

    @torch.no_grad()
    def _affinities(self, tile: Array) -> Affinities:
        image = torch.from_numpy(tile)[None, None].to(self.fabric.device)
        with self.fabric.autocast():
            logits = self.network(image)
        return Affinities(logits.float().sigmoid()[0].cpu().numpy(), self.offsets)


@dataclass(frozen=True)
class _Sure:
    offsets: tuple[Offset, ...]
    decoder: Decoder

    def __call__(self, maps: ArraySource, box: Box) -> Array:
        return self.decoder.inside(StoredAffinities(maps, self.offsets), box)


@dataclass(frozen=True)
class _Decode:
    offsets: tuple[Offset, ...]
    decoder: Decoder

    def __call__(self, maps: ArraySource, sink: Sink, grid: BlockGrid, work: Work) -> int:
        def partition(graph: RegionGraph) -> Array:
            return agglomerate(graph, self.decoder.linkage).cut(self.decoder.threshold)

        return segment(
            StoredAffinities(maps, self.offsets),
            sink,
            grid,
            work,
            fragments=self.decoder.split,
            lattice=self.decoder.lattice(grid.shape),
            partition=partition,
            histograms=self.decoder.linkage == "median",
        )
