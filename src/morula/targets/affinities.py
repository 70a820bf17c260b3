"""Labels to affinities: which voxels belong to the same object as the voxel one offset away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from morula.core.affinities import Affinities, Offset, edge
from morula.core.types import Array

__all__ = ["affinities", "partnered", "widen_border"]


def affinities(labels: Array, offsets: Sequence[Offset]) -> Affinities:
    """The true affinities of a labelling: 1 where both voxels carry the same label above 0.

    Where the partner lies outside they are 0; a loss should leave these out: see `partnered`.

    Args:
        labels: `(z, y, x)`, 0 = no object.
        offsets: of the channels.

    Returns:
        Attractive, uint8, one channel an offset.

    Raises:
        ValueError: labels without three axes, or an offset that points forwards.

    >>> row = np.array([[[5, 5, 0, 0, 7]]])
    >>> affinities(row, [(0, 0, -1)]).values.ravel()
    array([0, 1, 0, 0, 0], dtype=uint8)
    """
    if labels.ndim != 3:
        raise ValueError(f"labels have the axes z, y, x, not the shape {labels.shape}")
    inside = labels > 0
    values = np.zeros((len(offsets), *labels.shape), np.uint8)
    for number, offset in enumerate(offsets):
        here, there = edge(offset, labels.shape)
        values[number][here] = (labels[here] == labels[there]) & inside[here]
    return Affinities(values, tuple(offsets))


def partnered(offsets: Sequence[Offset], known: Array) -> Array:
    """Which affinities are known: the partner lies inside, and both voxels are labelled.

    Args:
        offsets: of the channels.
        known: `(z, y, x)` bool, which voxels were labelled, with an object or as none.

    Returns:
        `(c, z, y, x)` bool.
    """
    found = np.zeros((len(offsets), *known.shape), bool)
    for channel, offset in zip(found, offsets, strict=True):
        here, there = edge(offset, known.shape)
        channel[here] = known[here] & known[there]
    return found


def widen_border(labels: Array, window: tuple[int, int, int] = (1, 3, 3)) -> Array:
    """Labels with 0 wherever a window around the voxel holds more than one object.

    Where objects touch, this makes room for a border that a network can see; without it one voxel decides.
    With the default it equals `seg_widen_border` of the published code, radius 1, section by section.

    Args:
        labels: `(z, y, x)`, 0 = no object; ids up to 2^53, whatever the type.
        window: edges of the window in voxels, odd; beyond the volume labels are mirrored.

    >>> widen_border(np.array([[[1, 1, 1, 2, 2, 2]]])).ravel()
    array([1, 1, 0, 0, 2, 2])
    """
    highest = np.asarray(ndi.maximum_filter(labels, window, mode="mirror"))
    lowest = np.asarray(ndi.minimum_filter(np.where(labels > 0, labels, np.inf), window, mode="mirror"))
    return np.where(highest == lowest, labels, 0).astype(labels.dtype)
