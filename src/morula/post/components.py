"""A foreground mask of a stack becomes numbered 3D objects, cleaned of what sections and noise left in it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from morula.core.types import Array
from morula.post.untyped import cc3d, ndi

__all__ = ["clean", "components", "fill_holes", "remove_small", "z_median"]

Connectivity = Literal[6, 18, 26]


def components(mask: Array, *, connectivity: Connectivity = 26) -> Array:
    """Numbers the connected components of a stack.

    Args:
        mask: `(z, y, x)`, non-zero = foreground.
        connectivity: 6 for voxels that share a face, 18 an edge, 26 a corner.

    Returns:
        `(z, y, x)` int32, 0 = background, 1..N without gaps.
    """
    if sorted(mask.shape)[:2] == [1, 1]:  # a line of voxels, for which cc3d 4.1 keeps too few labels
        return np.asarray(ndi.label(mask != 0)[0], dtype=np.int32)
    labels: Array = cc3d.connected_components(mask != 0, connectivity=connectivity)
    return labels.astype(np.int32)


def remove_small(mask: Array, smallest: float) -> Array:
    """The mask without the small 26-connected objects.

    Args:
        mask: `(z, y, x)`, non-zero = foreground.
        smallest: voxels that an object must have.

    Returns:
        `(z, y, x)` bool.
    """
    labels = components(mask)
    kept = np.bincount(labels.ravel()) >= smallest
    kept[0] = False
    return kept[labels]


def z_median(stack: Array, window: int) -> Array:
    """Median along z, which removes objects that show in few sections and closes gaps of few sections.

    Beyond the first and last section the stack goes on unchanged.

    Args:
        stack: `(z, y, x)` mask or probability.
        window: how many sections, odd; 1 changes nothing.

    Returns:
        Shaped and typed like `stack`.

    Raises:
        ValueError: the window is even or not positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"a median takes an odd number of sections, not {window}")
    if window == 1:
        return stack
    if stack.dtype != np.bool_:
        return ndi.median_filter(stack, size=(window, 1, 1), mode="nearest")
    votes: Array = ndi.convolve1d(stack.astype(np.uint8), np.ones(window), axis=0, mode="nearest")
    return votes > window // 2


def fill_holes(mask: Array) -> Array:
    """Fills background that foreground encloses within a section.

    Args:
        mask: `(z, y, x)`, non-zero = foreground.

    Returns:
        `(z, y, x)` bool.
    """
    return np.stack([ndi.binary_fill_holes(section) for section in mask != 0])


def clean(mask: Array, *, window: int = 1, smallest: float = 0.0) -> Array:
    """Median along z, holes filled per section, small objects removed, in this order.

    Args:
        mask: `(z, y, x)`, non-zero = foreground.
        window: of the median, in sections, odd.
        smallest: voxels that an object must have.

    Returns:
        `(z, y, x)` bool.

    Raises:
        ValueError: the window is even or not positive.
    """
    return remove_small(fill_holes(z_median(mask != 0, window)), smallest)
