"""The labelled block of a volume, ready to learn from: grey values, a training and a validation part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cc3d
import numpy as np
import scipy.ndimage as ndi

from morula.blockwise import sample
from morula.core.errors import DataError, UsageError
from morula.core.types import Array, ArraySource, Record, Volume

__all__ = [
    "Block",
    "Dense",
    "Part",
    "grey",
    "grey_range",
    "is_scattered",
    "middle",
    "parted",
    "prepare",
    "scaled",
]

_SCATTERED = 0.5
_LEAST = 8  # voxels along the axis that is cut, for a part to be worth anything
_TAILS = (0.5, 99.5)  # percent


@dataclass(frozen=True, eq=False)
class Dense:
    """A piece of a volume and the neurons in it.

    Attributes:
        image: grey values `(z, y, x)`.
        labels: `(z, y, x)`, 0 where no neuron is, less where this piece is not to say.
        corner: where in the volume its first voxel lies.
        scattered: whether crops are drawn around its neurons, for elsewhere they would mostly show none.
    """

    image: Array
    labels: Array
    corner: tuple[int, ...] = (0, 0, 0)
    scattered: bool = False

    def without(self, part: Part) -> Dense:
        """The same, but silent where the labels of a part of the volume speak."""
        ours: list[slice] = []
        theirs: list[slice] = []
        for box, start, size in zip(part.box, self.corner, self.labels.shape, strict=True):
            low = max(box.start, start)
            high = max(low, min(box.stop, start + size))
            ours.append(slice(low - start, high - start))
            theirs.append(slice(low - box.start, high - box.start))
        labels = self.labels.astype(np.int32)
        labels[tuple(ours)][part.labels[tuple(theirs)] >= 0] = -1
        return replace(self, labels=labels)


@dataclass(frozen=True, eq=False)
class Part:
    """A box of the volume with its labels.

    Attributes:
        box: where it lies.
        labels: `(z, y, x)` int32, 0 = no neuron, -1 = not labelled.
    """

    box: tuple[slice, ...]
    labels: Array


@dataclass(frozen=True, eq=False)
class Block:
    """A volume of which two boxes are labelled.

    Attributes:
        image: the whole volume, `(z, y, x)` float32 in [0, 1].
        train: what the network learns from.
        validation: what thresholds are tuned on.
    """

    image: Array
    train: Part
    validation: Part

    @property
    def known(self) -> Dense:
        """The training part with its grey values."""
        corner = tuple(each.start for each in self.train.box)
        labels = self.train.labels
        return Dense(self.image[self.train.box], labels, corner, is_scattered(labels))


def grey(volume: Volume) -> Array:
    """Grey values `(z, y, x)` float32 in [0, 1], stretched so that any instrument looks alike."""
    values = volume.read()
    return scaled(values, *grey_range(values))


def grey_range(volume: ArraySource) -> tuple[float, float]:
    """What becomes 0 and 1."""
    low, high = np.percentile(sample(volume), _TAILS)
    return float(low), float(high)


def scaled(values: Array, low: float, high: float) -> Array:
    """Grey values with all up to `low` at 0 and all from `high` at 1, float32, for training and prediction.

    A saturated voxel far beyond the others would otherwise change what a network with group norm says of
    voxels far from it.
    """
    found = values - np.float32(low)
    found /= np.float32(max(high - low, 1e-6))
    np.clip(found, 0, 1, out=found)
    return found.astype(np.float32, copy=False)


def prepare(record: Record, image: Array, validation: float) -> Block:
    """Cuts the labelled block in two along its longest axis: a thick slab tells more than a thin one.

    Where parts of the block are not labelled, shares are of what is, and each part is the smallest box around
    what it holds. In the validation part a neuron that leaves and comes back is two, for nobody could join it
    there.

    Args:
        record: with labels and their box.
        image: `grey` of its image.
        validation: share of the block.

    Raises:
        UsageError: the record has no labels.
        DataError: the block is too small to cut, or one of the parts holds fewer than two neurons.
    """
    if record.labels is None:
        raise UsageError(
            "--labels", "this recipe learns from a labelled block", "name its labels with --labels"
        )
    labels = record.labels()
    box = record.box or tuple(slice(0, size) for size in labels.shape)
    axis = int(np.argmax(labels.shape))
    kept = _kept(labels, axis, validation)
    train, other = _cut(labels, box, axis, slice(0, kept)), _cut(labels, box, axis, slice(kept, None))
    if min(_depth(train, axis), _depth(other, axis)) < _LEAST:
        found = f"a labelled block of {' x '.join(map(str, labels.shape))} voxels"
        found += ", most of them without a label" if is_scattered(labels) else ""
        raise DataError(
            record.id, found, f"label at least {round(_LEAST / validation)} voxels along one axis"
        )
    if min(labels.shape) < 2:
        found = f"a labelled block of {' x '.join(map(str, labels.shape))} voxels"
        raise DataError(record.id, found, "label two sections or more; what links them is learned, too")
    train, other = _tight(train), _tight(other)
    for part, what in ((train, "learned from"), (other, "kept to tune")):
        if len(np.unique(part.labels[part.labels > 0])) < 2:
            found = f"a single neuron in the part of the labelled block that is {what}"
            raise DataError(record.id, found, "label more neurons; their borders are what is learned")
    return Block(image, train, Part(other.box, parted(other.labels)))


def parted(labels: Array) -> Array:
    """Labels `(z, y, x)` with every connected piece as one of its own, int32; truth in a box is no more.

    What is not labelled becomes 0, which no score counts.
    """
    return cc3d.connected_components(np.maximum(labels, 0), connectivity=6).astype(np.int32)


def is_scattered(labels: Array) -> bool:
    """Whether less than half of a box is labelled, with a neuron or as none."""
    return bool(np.mean(labels >= 0) < _SCATTERED)


def middle(part: Part, share: float) -> Part:
    """A part's middle, as deep as it is, with this share of its area; smaller ones lie in larger ones."""
    inner = [slice(0, part.labels.shape[0])]
    for size in part.labels.shape[1:]:
        edge = min(size, max(_LEAST, round(size * share**0.5)))
        inner.append(slice((size - edge) // 2, (size - edge) // 2 + edge))
    moved = tuple(
        slice(outer.start + each.start, outer.start + each.stop)
        for outer, each in zip(part.box, inner, strict=True)
    )
    return Part(moved, part.labels[tuple(inner)])


def _kept(labels: Array, axis: int, validation: float) -> int:
    """Where along an axis the validation part begins."""
    known = np.count_nonzero(labels >= 0, axis=tuple({0, 1, 2} - {axis}))
    if known.min() == known.max():
        return round(len(known) * (1 - validation))
    before = np.concatenate([[0], known.cumsum()])
    return round(float(np.interp((1 - validation) * before[-1], before, np.arange(len(before)))))


def _depth(part: Part, axis: int) -> int:
    """How many planes across an axis hold a label."""
    return int(np.count_nonzero((part.labels >= 0).any(axis=tuple({0, 1, 2} - {axis}))))


def _tight(part: Part) -> Part:
    """The smallest box that holds all that is labelled in a part."""
    known = part.labels >= 0
    inner = ndi.find_objects(known.astype(np.uint8))[0]
    moved = tuple(
        slice(outer.start + each.start, outer.start + each.stop)
        for outer, each in zip(part.box, inner, strict=True)
    )
    return Part(moved, part.labels[inner])


def _cut(labels: Array, box: tuple[slice, ...], axis: int, part: slice) -> Part:
    start, stop, _ = part.indices(labels.shape[axis])
    inner = tuple(part if number == axis else slice(None) for number in range(3))
    moved = slice(box[axis].start + start, box[axis].start + stop)
    outer = tuple(moved if number == axis else each for number, each in enumerate(box))
    return Part(outer, labels[inner])
