"""Cells in an image of any size: parts with a halo, equal to what memory gives, joined without seams.

Three things make parts and memory agree. What is told from an image as a whole is told once, from its
`overview`. Every pixel at the common scale is computed from its place in the whole, and the network's tiles
lie on one lattice. And an object is named after its first pixel: all blocks that see it whole call it the
same, so nothing is matched at faces. Blocks look `REACH` diameters beyond themselves; an object that goes
further is cut there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from morula.blockwise import BlockGrid, Holes, Mask, Numbered, Work, as_bytes, enclosed
from morula.blockwise.apply import Sink
from morula.core.types import Array, ArraySource
from morula.post import rims
from morula.tasks.cells.decode import (
    HALO,
    LEAST,
    TILE,
    Cut,
    Verdict,
    judged,
    objects_in,
)
from morula.tasks.cells.density import Plane, Tones, optical_density
from morula.tasks.cells.front import Prepared
from morula.tasks.cells.scores import rim_width, sum_of, sums_of
from morula.tasks.cells.standard import Box, Pixels, Standard, nearest, resized
from morula.tasks.cells.tally import Objects, objects_of, places_of, summed

__all__ = [
    "MAPS",
    "REACH",
    "CellPredictor",
    "Loader",
    "MapTile",
    "Sight",
    "blocks_of",
    "find_cells",
    "tiles_of",
]

REACH = 8.0
"""Median diameters that blocks look beyond themselves when maps become objects."""
MAPS = ("foreground", "centre distance")
"""What networks for cells give."""


@dataclass(frozen=True)
class Sight:
    """What is told from an image as a whole; all its parts are seen through it.

    Attributes:
        standard: how it is brought to the common look and size.
        verdict: on the network's maps of it.
        cut: how maps become objects.
        diameter: of the median object at the common scale.
    """

    standard: Standard
    verdict: Verdict
    cut: Cut
    diameter: float

    def as_text(self) -> str:
        """JSON; all numbers survive."""
        return json.dumps(asdict(self))

    @staticmethod
    def of_text(text: str) -> Sight:
        """What `as_text` gave."""
        found = json.loads(text)
        standard, level = found["standard"], found["verdict"]["level"]
        standard["tones"], standard["shape"] = Tones(**standard["tones"]), tuple(standard["shape"])
        found["standard"] = Standard(**standard)
        found["verdict"] = Verdict(level and tuple(level), found["verdict"]["failed"])
        found["cut"] = Cut(**found["cut"])
        return Sight(**found)


@runtime_checkable
class CellPredictor(Protocol):
    """What a trained run offers for images of any size."""

    def sight(self, image: Plane, where: str) -> Sight:
        """What is told from an image as a whole."""
        ...

    def maps(self, tile: Prepared) -> Array:
        """Foreground probability and centre distance `(2, y, x)` of a tile with its halo."""
        ...


class Loader(Protocol):
    """Loads a run in the process that needs it; picklable, and loads once a process."""

    def __call__(self) -> CellPredictor:
        """The run."""
        ...


def tiles_of(sight: Sight) -> BlockGrid:
    """The network's tiles at the common scale, with an axis of sections of size one."""
    return BlockGrid((1, *sight.standard.common), (1, TILE, TILE), (0, HALO, HALO))


def blocks_of(sight: Sight, side: int) -> BlockGrid:
    """The blocks in which maps become objects, at the common scale."""
    reach = round(REACH * sight.diameter)
    return BlockGrid((1, *sight.standard.common), (1, side, side), (0, reach, reach))


def find_cells(
    load: Loader, image: Pixels, maps: Sink, labels: Sink, work: Work, *, side: int = 2048
) -> tuple[Sight, Objects]:
    """Segments an image block by block; equal to the predictor's own call but for the order of the labels.

    Args:
        load: the run.
        image: what is segmented.
        maps: gets the network's maps `(2, y, x)` as bytes.
        labels: gets the labels `(y, x)`.
        work: where steps are kept; its chunks divide `side`.
        side: of a block in pixels, whole chunks or shards of the sinks; divides or is a multiple of a tile.

    Returns:
        What was told from the image as a whole, and the objects.
    """
    one = BlockGrid((1, 1, 1), (1, 1, 1), (0, 0, 0))
    told = work.run("look", _Looked(load, image), one)
    sight = Sight.of_text(str(told[0]["sight"]))
    tiles = tiles_of(sight)
    found, mask = work.array("maps", tiles, np.float32, channels=2), work.array("mask", tiles, np.uint8)
    work.run("maps", MapTile(load, image, sight, found, mask, tiles), tiles)
    grid = blocks_of(sight, side)
    holes = enclosed(Mask(mask, tiles.shape, 0.5, 1), grid, work, {})
    local = work.array("cells", grid, np.int32)
    parts = work.run("cells", _Cut(found, mask, holes, local, sight, grid), grid)
    cells = Numbered.of(local, grid, parts)
    names, index = np.unique(np.concatenate([each["first"] for each in parts]), return_inverse=True)
    together = np.concatenate([[0], index + 1])
    height, width, _ = image.shape
    places = BlockGrid((1, height, width), (1, side, side), (0, 0, 0))
    numbered = _Enlarged(cells, work.table("cells", together), sight.standard)
    told = work.run("measure", _Measure(numbered, found, maps, image, sight, places), places)
    table, sums = summed(told, len(names))
    kept = table.area >= LEAST
    lookup = np.where(kept, np.cumsum(kept), 0)
    final = work.table("labels", np.concatenate([[0], lookup])[together].astype(np.uint32))
    write = _Write(_Enlarged(cells, final, sight.standard), labels, places)
    work.run("write", write, places)
    return sight, objects_of(table, sums, kept, sight.standard)


@dataclass(frozen=True)
class _Looked:
    """A task: what is told from the image as a whole."""

    load: Loader
    image: Pixels

    def __call__(self, index: int) -> Mapping[str, Array]:
        del index
        return {"sight": np.array(self.load().sight(self.image, self.image.volume.uri).as_text())}


@dataclass(frozen=True)
class MapTile:
    """A task: the network's maps of a tile.

    Attributes:
        load: the run.
        image: what is segmented.
        sight: of it.
        maps: gets the maps `(2, 1, y, x)` at the common scale.
        mask: gets the foreground `(1, y, x)`, 0 or 1.
        grid: of the tiles.
    """

    load: Loader
    image: Pixels
    sight: Sight
    maps: Sink
    mask: Sink
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        """Tells nothing."""
        box, inner = self.grid.write(index), self.grid.inner(index)[1:]
        part = self.sight.standard.part(self.image, _plane(self.grid.read(index)))
        found = self.load().maps(part)
        inside = judged(found[0], part.density, self.sight.verdict, part.modality) > 0.5
        self.maps[(slice(None), *box)] = found[(slice(None), None, *inner)]
        self.mask[box] = inside[inner][None].astype(np.uint8)
        return {}


@dataclass(frozen=True)
class _Cut:
    """A task: the objects that touch a block, each named after its first pixel."""

    maps: ArraySource
    mask: ArraySource
    holes: Holes
    local: Sink
    sight: Sight
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box, wide = self.grid.write(index), self.grid.read(index)
        inside = (np.asarray(self.mask[wide]) > 0) | self.holes.read(wide)
        distance = np.asarray(self.maps[(slice(1, 2), *wide)])[0, 0]
        labels = objects_in(inside[0], distance, self.sight.diameter, self.sight.cut)
        names, first = np.unique(labels, return_index=True)
        y, x = np.divmod(first, labels.shape[1])
        first = (y + wide[1].start) * self.grid.shape[2] + x + wide[2].start
        inner = self.grid.inner(index)[1:]
        own = labels[inner]
        here = np.unique(own[own > 0])
        lookup = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        lookup[here] = np.arange(1, len(here) + 1)
        own = lookup[own]
        self.local[box] = own[None]
        return {"count": np.array(len(here)), "first": first[np.searchsorted(names, here)]}


@dataclass(frozen=True)
class _Enlarged:
    """The objects' numbers at the image's own scale."""

    cells: Numbered
    lookup: str
    standard: Standard

    def read(self, box: Box) -> Array:
        old, new = self.standard.common, self.standard.shape
        y, x = (nearest(a, b, side) for a, b, side in zip(old, new, box, strict=True))
        part = self.cells.read((slice(0, 1), *(slice(int(each[0]), int(each[-1]) + 1) for each in (y, x))))
        numbers: Any = np.load(self.lookup, mmap_mode="r", allow_pickle=False)
        return np.asarray(numbers[part[0]])[np.ix_(y - y[0], x - x[0])]


@dataclass(frozen=True)
class _Measure:
    """A task: the maps of a block at the image's own scale, and what its objects add up to."""

    cells: _Enlarged
    maps: ArraySource
    shown: Sink
    image: Pixels
    sight: Sight
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = _plane(self.grid.write(index))
        maps = self._maps(box)
        self.shown[(slice(None), *box)] = np.stack([as_bytes(each) for each in maps])
        found, around = self._with_rims(box)
        ids = np.union1d([0], np.union1d(found, around))
        labels, around = np.searchsorted(ids, found), np.searchsorted(ids, around)
        told = {
            "ids": ids[1:],
            **sums_of(labels, around, len(ids) - 1, *maps),
            **places_of(labels, len(ids) - 1, box),
        }
        if self.sight.standard.modality == "IHC":
            told |= self._stains(labels, len(ids) - 1, box)
        return told

    def _with_rims(self, box: Box) -> tuple[Array, Array]:
        """The objects in a box and their rims, to which objects outside of it have a part."""
        standard = self.sight.standard
        width = rim_width(self.sight.diameter * standard.shape[0] / standard.common[0])
        reach = int(np.ceil(width))
        starts = [max(side.start - reach, 0) for side in box]
        y, x = (
            slice(start, min(side.stop + reach, size))
            for start, side, size in zip(starts, box, standard.shape, strict=True)
        )
        found = self.cells.read((y, x))
        inner = tuple(
            slice(side.start - start, side.stop - start) for start, side in zip(starts, box, strict=True)
        )
        return found[inner], rims(found, width)[inner]

    def _maps(self, box: Box) -> list[Array]:
        old, new = self.sight.standard.common, self.sight.standard.shape
        read = [
            slice(max(a * side.start // b - 1, 0), min(-(-a * side.stop // b) + 1, a))
            for a, b, side in zip(old, new, box, strict=True)
        ]
        found = np.asarray(self.maps[(slice(None), slice(0, 1), *read)])[:, 0]
        return [resized(each, (read[0].start, read[1].start), old, new, box) for each in found]

    def _stains(self, labels: Array, count: int, box: Box) -> Mapping[str, Array]:
        density = optical_density(self.image[box], self.sight.standard.tones.white)
        values = {"brown": density[..., 2] - density[..., 0], "total": density.sum(axis=-1)}
        return {name: sum_of(labels, count, value) for name, value in values.items()}


@dataclass(frozen=True)
class _Write:
    """A task: the final labels of a block."""

    cells: _Enlarged
    labels: Sink
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = _plane(self.grid.write(index))
        self.labels[box] = self.cells.read(box)
        return {}


def _plane(box: tuple[slice, ...]) -> Box:
    return box[1], box[2]
