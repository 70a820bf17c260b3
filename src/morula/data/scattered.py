"""Which zeros of scattered labels say "no neuron", and which only that nobody looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array, Voxel

__all__ = ["UNLABELLED", "told_apart"]

UNLABELLED = -1
"""What stands in labels where nobody said what is there."""

# in pixels of a section: gaps up to twice as wide are membranes between neurons, of which in dense labels at
# 4 nm (ISBI 2012) 3 % are wider, and 16 % where this is 5; and how far a membrane reaches from its neuron
_GAP, _RIM = 10, 3


def told_apart(labels: Array, voxel: Voxel | None) -> Array:
    """Labels with -1 in the place of each 0 that says nothing.

    A 0 says "no neuron" in a gap between neurons, and beside one: not where a block of labels ends, for there
    neurons go on, but inside the smallest box around what holds together. A section without any label is one
    that was left out. Distances are measured in pixels of a section and shorten along z as voxels are deeper
    than wide; where nobody knows how deep they are, each section stands for itself.

    Args:
        labels: `(z, y, x)` int32, 0 where no neuron was labelled, whatever the reason.
        voxel: its size.

    Returns:
        The same shape and type.
    """
    some = labels > 0
    closed = np.asarray(ndi.grey_closing(some.view(np.uint8), size=_window(_GAP, voxel))).view(bool)
    if not closed.all():
        near = np.asarray(ndi.maximum_filter(some.view(np.uint8), size=_window(_RIM, voxel))).view(bool)
        found: Any = ndi.label(closed)
        for box in ndi.find_objects(found[0]):
            closed[box] |= near[box]
    closed[~some.any(axis=(1, 2))] = False
    return np.where(closed, labels, np.int32(UNLABELLED))


def _window(reach: int, voxel: Voxel | None) -> tuple[int, int, int]:
    """The edges of a box that reaches as far from its middle, in pixels of a section, along each axis."""
    deep = np.inf if voxel is None or voxel.z is None else voxel.z / min(voxel.y, voxel.x)
    return 2 * int(reach / max(1.0, deep)) + 1, 2 * reach + 1, 2 * reach + 1
