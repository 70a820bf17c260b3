"""One sparse table of who overlaps whom, from which every instance score is read.

The table is counted in one pass over the pixels; its size grows with the pairs of objects that touch, not
with the product of the object counts, so that a slide with 100,000 nuclei needs no 100,000 x 100,000
matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from morula.core.types import Array
from morula.metrics.assignment import assign_sparse
from morula.metrics.counts import Counts

__all__ = ["Overlap", "assign", "best_of_each", "joined", "overlap", "pooled"]

_LARGEST_KEY = int(np.iinfo(np.int64).max)
_PIECE = 2**20  # pixels


@dataclass(frozen=True, eq=False)
class Overlap:
    """Areas of the objects, and the pairs of a true and a predicted object that share pixels.

    Objects are numbered from 0 in the order of their labels, so gaps in the labels leave no trace. Pairs are
    sorted by true, then by predicted object.

    Attributes:
        truth_ids: `(n,)` label of each true object, ascending.
        pred_ids: `(m,)` label of each predicted object, ascending.
        truth_areas: `(n,)` size of each true object in pixels.
        pred_areas: `(m,)` size of each predicted object in pixels.
        truth: `(k,)` true object of each pair, an index below n.
        pred: `(k,)` predicted object of each pair, an index below m.
        intersections: `(k,)` pixels that the pair shares, at least 1.
        size: pixels of the image, background included.
    """

    truth_ids: Array
    pred_ids: Array
    truth_areas: Array
    pred_areas: Array
    truth: Array
    pred: Array
    intersections: Array
    size: int

    @cached_property
    def area_sums(self) -> Array:
        """`(k,)` sum of the two areas of each pair, in pixels."""
        return self.truth_areas[self.truth] + self.pred_areas[self.pred]

    @cached_property
    def unions(self) -> Array:
        """`(k,)` pixels covered by either object of each pair."""
        return self.area_sums - self.intersections

    @cached_property
    def ious(self) -> Array:
        """`(k,)` intersection over union of each pair, in (0, 1]."""
        return self.intersections / self.unions

    @cached_property
    def dices(self) -> Array:
        """`(k,)` Dice coefficient of each pair, in (0, 1]."""
        return 2 * self.intersections / self.area_sums

    @property
    def pixels(self) -> Counts:
        """Foreground pixels found, invented and missed, whichever object they belong to."""
        shared = int(self.intersections.sum())
        return Counts(shared, int(self.pred_areas.sum()) - shared, int(self.truth_areas.sum()) - shared)

    def counts(self, matched: int) -> Counts:
        """Objects found, invented and missed when `matched` pairs are one-to-one matches."""
        return Counts(matched, len(self.pred_areas) - matched, len(self.truth_areas) - matched)


def overlap(pred: Array, truth: Array) -> Overlap:
    """Counts the table of two label images.

    Args:
        pred: predicted labels of any shape, integers, 0 = background; gaps in the labels are fine.
        truth: true labels, shaped like `pred`.

    Raises:
        ValueError: the shapes differ, or labels are negative or not integers.

    >>> table = overlap(pred=np.array([[7, 7, 0, 9]]), truth=np.array([[0, 4, 4, 4]]))
    >>> table.truth_areas, table.pred_areas, table.intersections
    (array([3]), array([2, 1]), array([1, 1]))
    """
    if pred.shape != truth.shape:
        raise ValueError(f"prediction and truth differ in shape: {pred.shape} and {truth.shape}")
    _check_labels(pred, "prediction")
    _check_labels(truth, "truth")
    truth_label, pred_label, pixels = _count_label_pairs(truth, pred)
    truth_ids, truth_areas = _areas(truth_label, pixels)
    pred_ids, pred_areas = _areas(pred_label, pixels)
    both = (truth_label > 0) & (pred_label > 0)
    return Overlap(
        truth_ids=truth_ids,
        pred_ids=pred_ids,
        truth_areas=truth_areas,
        pred_areas=pred_areas,
        truth=np.searchsorted(truth_ids, truth_label[both]),
        pred=np.searchsorted(pred_ids, pred_label[both]),
        intersections=pixels[both],
        size=truth.size,
    )


def pooled(tables: Iterable[Overlap]) -> Overlap:
    """The table of an image from the tables of parts that tile it; exactly what counting it at once gives.

    Args:
        tables: of the parts, whose labels mean the same objects; at least one.

    >>> parts = [overlap(np.array([7, 7]), np.array([0, 4])), overlap(np.array([0, 9]), np.array([4, 4]))]
    >>> pooled(parts).truth_areas, pooled(parts).pred_areas, pooled(parts).intersections
    (array([3]), array([2, 1]), array([1, 1]))
    """
    every = list(tables)
    truth_ids, truth_areas = _summed([each.truth_ids for each in every], [each.truth_areas for each in every])
    pred_ids, pred_areas = _summed([each.pred_ids for each in every], [each.pred_areas for each in every])
    rows = np.concatenate([np.searchsorted(truth_ids, each.truth_ids[each.truth]) for each in every])
    columns = np.concatenate([np.searchsorted(pred_ids, each.pred_ids[each.pred]) for each in every])
    keys, shared = _summed([rows * (len(pred_ids) + 1) + columns], [each.intersections for each in every])
    return Overlap(
        truth_ids,
        pred_ids,
        truth_areas,
        pred_areas,
        keys // (len(pred_ids) + 1),
        keys % (len(pred_ids) + 1),
        shared,
        sum(each.size for each in every),
    )


def joined(table: Overlap, labels: Array) -> Overlap:
    """The table after predicted objects were joined; exactly what counting the joined image gives.

    Args:
        table: of the image before.
        labels: `(m,)` new label of each predicted object, above 0; objects with the same one become one.

    Raises:
        ValueError: there are more or fewer labels than objects, or one is not above 0.

    >>> fine = overlap(pred=np.array([1, 1, 2, 5]), truth=np.array([4, 4, 4, 9]))
    >>> joined(fine, np.array([3, 3, 8])).intersections
    array([3, 1])
    """
    if labels.shape != table.pred_ids.shape or (labels < 1).any():
        raise ValueError(f"{len(table.pred_ids)} objects need as many labels above 0")
    ids, areas = _summed([labels], [table.pred_areas])
    keys = table.truth * (len(ids) + 1) + np.searchsorted(ids, labels[table.pred])
    keys, shared = _summed([keys], [table.intersections])
    return replace(
        table,
        pred_ids=ids,
        pred_areas=areas,
        truth=keys // (len(ids) + 1),
        pred=keys % (len(ids) + 1),
        intersections=shared,
    )


def assign(table: Overlap, weights: Array) -> Array:
    """The one-to-one assignment of true to predicted objects with the largest total weight.

    Args:
        table: the pairs that may be assigned.
        weights: `(k,)` worth of each pair, in (0, 2).

    Returns:
        `(a,)` indices of the chosen pairs.

    >>> table = overlap(pred=np.array([1, 1, 2, 2]), truth=np.array([5, 5, 5, 0]))
    >>> assign(table, table.ious)
    array([0])
    """
    shape = len(table.truth_areas), len(table.pred_areas)
    return assign_sparse(table.truth, table.pred, weights, shape)


def best_of_each(groups: Array, *keys: Array) -> Array:
    """Index of the best item of each group: the largest first key, ties by the next key, then the first item.

    Args:
        groups: `(k,)` group of each item.
        keys: `(k,)` arrays, the most important first.

    Returns:
        One index per group that occurs, in ascending order of the groups.

    >>> best_of_each(np.array([0, 0, 3]), np.array([0.2, 0.9, 0.1]))
    array([1, 2])
    """
    order = np.lexsort((*(-key for key in reversed(keys)), groups))
    firsts = np.unique(groups[order], return_index=True)[1]
    return order[firsts]


def _check_labels(labels: Array, name: str) -> None:
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: labels must be integers, not {labels.dtype}")
    if labels.min(initial=0) < 0:
        raise ValueError(f"{name}: labels must not be negative, found {labels.min()}")


def _count_label_pairs(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Distinct pairs of labels at the same pixel, background included, sorted, and the pixels of each."""
    span = int(second.max(initial=0)) + 1
    if (int(first.max(initial=0)) + 1) * span > _LARGEST_KEY:  # 64-bit ids, as proof-reading tools write
        first_ids, first = np.unique(first, return_inverse=True)
        second_ids, second = np.unique(second, return_inverse=True)
        row, column, pixels = _count_label_pairs(first, second)
        return first_ids[row], second_ids[column], pixels
    parts = [
        _count_sorted(a.astype(np.int64) * span + b.astype(np.int64))
        for a, b in zip(_pieces(first), _pieces(second), strict=True)
    ]
    keys, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
    pairs, index = np.unique(keys, return_inverse=True)
    pixels = np.bincount(index, weights=counts, minlength=len(pairs)).astype(np.int64)
    return pairs // span, pairs % span, pixels


def _pieces(labels: Array) -> list[Array]:
    """The labels in a row, in pieces: sorting these is fast and takes little memory."""
    row = labels.ravel()
    return np.array_split(row, -(-max(row.size, 1) // _PIECE))


def _count_sorted(keys: Array) -> tuple[Array, Array]:
    """Distinct keys, ascending, and how often each occurs."""
    keys = np.sort(keys)
    starts = np.flatnonzero(np.concatenate([np.ones(keys[:1].size, bool), keys[1:] != keys[:-1]]))
    return keys[starts], np.diff(starts, append=keys.size)


def _summed(keys: Sequence[Array], counts: Sequence[Array]) -> tuple[Array, Array]:
    """Distinct keys, ascending, and the sum of the counts of each."""
    distinct, index = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, index, np.concatenate(counts))
    return distinct, sums


def _areas(labels: Array, pixels: Array) -> tuple[Array, Array]:
    """Distinct labels above 0, ascending, and the pixels of each."""
    foreground = labels > 0
    ids, index = np.unique(labels[foreground], return_inverse=True)
    return ids, np.bincount(index, weights=pixels[foreground], minlength=len(ids)).astype(np.int64)
