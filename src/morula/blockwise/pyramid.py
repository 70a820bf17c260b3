"""The coarser levels of an image or of labels, made block by block from the level before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from morula.blockwise.grid import BlockGrid
from morula.blockwise.work import Work
from morula.core.types import Array
from morula.data.ome_zarr import Shrinking, StoredArray, shrink

__all__ = ["fill_pyramid"]


def fill_pyramid(levels: Sequence[StoredArray], how: Shrinking, work: Work, name: str) -> None:
    """Fills all levels but the first.

    Args:
        levels: the largest first, which is filled.
        how: `mean` for images, `mode` for labels.
        work: where steps are kept.
        name: of the image or labels, which the steps are named after.
    """
    for number, (fine, coarse) in enumerate(pairwise(levels), start=1):
        shape = coarse.shape
        grid = BlockGrid.aligned(shape, coarse.unit, (0,) * len(shape), voxels=2**22)
        factors = tuple(-(-a // b) for a, b in zip(fine.shape, shape, strict=True))
        work.run(f"{name}-level-{number}", _Shrink(fine, coarse, grid, factors, how), grid, how=how)


@dataclass(frozen=True)
class _Shrink:
    fine: StoredArray
    coarse: StoredArray
    grid: BlockGrid
    factors: tuple[int, ...]
    how: Shrinking

    def __call__(self, index: int) -> Mapping[str, Array]:
        box = self.grid.write(index)
        source = tuple(
            slice(each.start * factor, min(each.stop * factor, size))
            for each, factor, size in zip(box, self.factors, self.fine.shape, strict=True)
        )
        self.coarse[box] = shrink(self.fine[source], self.factors, self.how)
        return {}
