"""Which zeros of scattered labels say "no neuron", and which only that nobody looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array, Voxel

__all__ = ["UNLABELLED", "told_apart"]

UNLABELLED = -1
"""What stands in labels where nobody said what is there."""

# nm: gaps up to twice as wide are membranes between neurons (in dense labels, ISBI 2012 at 4 nm, 3 % of the
# zeros lie in wider ones, and 16 % where this is 20), thin neurites about 100; and how far a membrane goes
_GAP, _RIM = 40.0, 12.0
_USUAL = Voxel(y=4.0, x=4.0)  # where nobody knows; sections count as thick then


def told_apart(labels: Array, voxel: Voxel | None) -> Array:
    """Labels with -1 in the place of each 0 that says nothing.

    A 0 says "no neuron" in a gap between neurons, and beside one: not where a block of labels ends, for there
    neurons go on, but inside the smallest box around what holds together. A section without any label is one
    that was left out. Gaps are as wide as membranes are in nm: at 4 nm up to 20 pixels, at 10 nm up to 8.
    Where voxels are deeper than half a gap, or of unknown depth, each section stands for itself.

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


def _window(reach: float, voxel: Voxel | None) -> tuple[int, int, int]:
    """The edges of a box that reaches so many nm from its middle, and to the next pixels at least."""
    size = _USUAL if voxel is None or voxel.z is None else voxel
    y, x = (max(1, round(reach / edge)) for edge in (size.y, size.x))
    z = 0 if size.z is None else int(reach / size.z)
    return 2 * z + 1, 2 * y + 1, 2 * x + 1
