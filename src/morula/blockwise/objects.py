"""A probability map of any size to numbered objects: what `clean` and `components` of post give at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage as ndi

from morula.blockwise.apply import Sink
from morula.blockwise.grid import BlockGrid, Box, relative
from morula.blockwise.join import Numbered, Pairs, Relabel, grown, joined, neighbours
from morula.blockwise.work import Work
from morula.core.types import Array, ArraySource
from morula.post import components, z_median

__all__ = ["Found", "Holes", "Mask", "enclosed", "label_objects"]

_CORNERS = 26
_IN_SECTION = np.zeros((3, 3, 3), bool)
_IN_SECTION[1] = ndi.generate_binary_structure(2, 1)


@dataclass(frozen=True)
class Found:
    """What was found in a volume.

    Attributes:
        count: the objects are 1..count.
        volumes: `(count,)` of each, in voxels.
    """

    count: int
    volumes: Array


def label_objects(
    probability: ArraySource,
    sink: Sink,
    grid: BlockGrid,
    work: Work,
    *,
    threshold: float = 0.5,
    window: int = 1,
    smallest: float = 0.0,
    fill: bool = True,
) -> Found:
    """Numbers the 26-connected objects of a foreground, cleaned, equal to doing it in memory.

    Median along z, holes filled per section, small objects removed: as `morula.post.clean`. Holes and volumes
    are those of the whole volume, however many blocks an object crosses.

    Args:
        probability: `(z, y, x)`.
        sink: of the labels, 1..N in the order of the blocks.
        grid: of the blocks; its halo is not used.
        work: where steps are kept.
        threshold: foreground is above it.
        window: of the median, in sections, odd.
        smallest: volume in voxels that an object must have.
        fill: whether holes are filled.
    """
    mask = Mask(probability, grid.shape, threshold, window)
    parts = {"threshold": threshold, "window": window}
    filled = enclosed(mask, grid, work, parts) if fill else None
    local = work.array("objects", grid, np.int32)
    told = work.run("objects-label", _LabelObjects(mask, filled, local, grid), grid, **parts)
    objects = Numbered.of(local, grid, told)
    pairs = work.run("objects-join", Pairs(objects, neighbours(_CORNERS)), grid, **parts)
    together = joined(objects.size, np.concatenate([each["pairs"] for each in pairs]))
    volumes = np.zeros(int(together.max(initial=0)) + 1, np.int64)
    np.add.at(volumes, together[1:], np.concatenate([each["volumes"] for each in told]))
    kept = volumes >= smallest
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    lookup = work.table("objects", numbers[together].astype(np.uint32))
    work.run("write", Relabel(objects, lookup, sink), grid, **parts, smallest=smallest)
    return Found(int(kept.sum()), volumes[kept])


def enclosed(mask: Mask, grid: BlockGrid, work: Work, parts: Mapping[str, float]) -> Holes:
    """The background of each section that does not reach the rim of the volume.

    Args:
        mask: the foreground.
        grid: of the blocks; its halo is not used.
        work: where steps are kept.
        parts: what decides the foreground.
    """
    gaps = work.array("gaps", grid, np.int32)
    told = work.run("gaps-label", _LabelGaps(mask, gaps, grid), grid, **parts)
    background = Numbered.of(gaps, grid, told)
    outside = np.concatenate([[True], *(each["open"] for each in told)])
    steps = ((0, -1, 0), (0, 0, -1))
    pairs = work.run("gaps-join", Pairs(background, steps), grid, **parts)
    together = joined(background.size, np.concatenate([each["pairs"] for each in pairs]))
    reached = np.zeros(int(together.max(initial=0)) + 1, bool)
    reached[together[outside]] = True
    return Holes(background, work.table("gaps", ~reached[together]))


@dataclass(frozen=True)
class Holes:
    """Which part of the background is enclosed, by its number.

    Attributes:
        background: of each section.
        enclosed: `.npy` file that says of each number whether it is a hole.
    """

    background: Numbered
    enclosed: str

    def read(self, box: Box) -> Array:
        """The holes in a box, `(z, y, x)` bool."""
        table: Any = np.load(self.enclosed, mmap_mode="r", allow_pickle=False)
        return table[self.background.read(box)]


@dataclass(frozen=True)
class Mask:
    """The foreground of a volume.

    Attributes:
        probability: `(z, y, x)`.
        shape: of the volume.
        threshold: foreground is above it.
        window: of the median along z, in sections, odd.
    """

    probability: ArraySource
    shape: tuple[int, ...]
    threshold: float
    window: int

    def read(self, box: Box) -> Array:
        """The foreground in a box, `(z, y, x)` bool."""
        wide = grown(box, self.shape, (self.window // 2, 0, 0))
        return z_median(np.asarray(self.probability[wide]) > self.threshold, self.window)[relative(box, wide)]


@dataclass(frozen=True)
class _LabelGaps:
    """Numbers the background of each section of a block; `open` is what meets the rim of the sections."""

    mask: Mask
    sink: Sink
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = self.grid.write(index)
        found: Any = ndi.label(~self.mask.read(box), _IN_SECTION)
        labels, count = np.asarray(found[0], np.int32), int(found[1])
        rim = np.zeros(count + 1, bool)
        for axis in (1, 2):
            if box[axis].start == 0:
                rim[np.take(labels, 0, axis)] = True
            if box[axis].stop == self.grid.shape[axis]:
                rim[np.take(labels, -1, axis)] = True
        self.sink[box] = labels
        return {"count": np.array(count), "open": rim[1:]}


@dataclass(frozen=True)
class _LabelObjects:
    """Numbers the foreground of a block, with its holes filled where there are any to fill."""

    mask: Mask
    holes: Holes | None
    sink: Sink
    grid: BlockGrid

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = self.grid.write(index)
        mask = self.mask.read(box)
        labels = components(mask if self.holes is None else mask | self.holes.read(box))
        self.sink[box] = labels
        volumes = np.bincount(labels.ravel())[1:]
        return {"count": np.array(len(volumes)), "volumes": volumes}
