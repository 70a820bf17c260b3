"""What objects add up to, part by part of an image: places, scores and classes of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from morula.core.types import Array
from morula.data.objects import ObjectTable, added, extents
from morula.tasks.cells.decode import is_positive, plain_class
from morula.tasks.cells.scores import scores_of
from morula.tasks.cells.standard import Box, Standard

__all__ = ["Objects", "objects_of", "places_of", "summed"]

_SUMS = ("inside", "rim", "spilled", "brown", "total")


@dataclass(frozen=True)
class Objects:
    """What was found.

    Attributes:
        table: of the objects 1..N.
        scores: `(N,)`.
        classes: `(N,)` names.
    """

    table: ObjectTable
    scores: Array
    classes: tuple[str, ...]


def places_of(labels: Array, count: int, box: Box) -> dict[str, Array]:
    """Sums of places and boxes of the objects 1..count of a part of an image."""
    y, x = np.nonzero(labels)
    return extents(labels[y, x] - 1, (y + box[0].start, x + box[1].start), count)


def summed(told: Sequence[Mapping[str, Array]], count: int) -> tuple[ObjectTable, dict[str, Array]]:
    """The objects 1..count of all blocks, and what scores and classes are made of."""
    ids = np.arange(1, count + 1)
    area, centroid, start, stop = added(told, ids)
    sums = {name: np.zeros(count) for name in (*_SUMS, "top")}
    for each in told:
        rows = each["ids"] - 1
        sums["top"][rows] = np.maximum(sums["top"][rows], each["top"])
        for name in each.keys() & set(_SUMS):
            sums[name][rows] += each[name]
    sums["area"] = area.astype(np.float64)
    table = ObjectTable(ids, area, centroid, start, stop, np.zeros(count, np.bool_))
    return table, sums


def objects_of(table: ObjectTable, sums: Mapping[str, Array], kept: Array, standard: Standard) -> Objects:
    """The table, scores and classes of the objects that are kept, numbered anew."""
    size = np.array(standard.shape)
    start, stop = table.start[kept], table.stop[kept]
    touches = ((start == 0) | (stop == size)).any(axis=1)
    count = int(kept.sum())
    found = ObjectTable(np.arange(1, count + 1), table.area[kept], table.centroid[kept], start, stop, touches)
    own = {name: values[kept] for name, values in sums.items()}
    scores = scores_of(own)
    kind = standard.modality
    if kind != "IHC":
        return Objects(found, scores, (plain_class(kind),) * count)
    area = np.maximum(own["area"], 1)
    positive = is_positive(own["brown"] / area, own["total"] / area)
    return Objects(found, scores, tuple("positive" if yes else "negative" for yes in positive))
