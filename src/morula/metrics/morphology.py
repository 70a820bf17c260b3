"""The shape of objects in a stack, from which a criterion can judge a segmentation without its truth.

An object is a 26-connected component of the whole stack; what is measured is its cross-section in each
section. Two blobs of one object in one section are therefore one cross-section, of low solidity, as in the
published code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from morula.core.types import Array

__all__ = ["CrossSections", "area_ratio", "cross_sections", "solidity", "tissue_growth"]

SMALLEST = 10
"""Cross-sections of this many pixels or fewer do not count: the published code takes those of more."""

_ndi: Any = import_module("scipy.ndimage")
_measure: Any = import_module("skimage.measure")


@dataclass(frozen=True)
class CrossSections:
    """What the objects of a stack look like in each section that they cross.

    Attributes:
        section: `(n,)` index along z.
        area: `(n,)` in pixels.
        solidity: `(n,)` area over the area of the convex hull, in (0, 1].
    """

    section: Array
    area: Array
    solidity: Array

    @classmethod
    def pooled(cls, parts: Iterable[CrossSections]) -> CrossSections:
        """Those of several stacks as one; sections keep the numbers they have in their stack."""
        rows = [(part.section, part.area, part.solidity) for part in parts]
        section, area, solid = (np.concatenate(column) for column in zip(*rows, strict=True))
        return cls(section, area, solid)


def cross_sections(mask: Array, *, smallest: int = SMALLEST) -> CrossSections:
    """Labels a stack once in 3D, with full connectivity, and measures every object in every section.

    Args:
        mask: `(z, y, x)`, or `(y, x)` for one section; non-zero = foreground.
        smallest: cross-sections of this many pixels or fewer are left out.

    Raises:
        ValueError: the mask has fewer than 2 or more than 3 axes.

    >>> ring = np.pad(np.ones((1, 4, 4), bool), ((0, 0), (1, 1), (1, 1)))
    >>> cross_sections(ring).area, cross_sections(ring).solidity
    (array([16.]), array([1.]))
    """
    stack = _stack(mask)
    labels: Array = _ndi.label(stack, np.ones((3, 3, 3)))[0]
    found = [
        (z, region.area, region.solidity)
        for z, plane in enumerate(labels)
        for region in _measure.regionprops(_without_small(plane, smallest))
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 3)
    return CrossSections(table[:, 0].astype(np.intp), table[:, 1], table[:, 2])


def solidity(mask: Array) -> float:
    """Mean over cross-sections of area over convex area: the published criterion for choosing a checkpoint.

    The criterion takes the checkpoint whose prediction on the target comes closest to the source's labels.

    Args:
        mask: `(z, y, x)`, or `(y, x)` for one section; non-zero = foreground.

    Returns:
        The mean over all cross-sections of more than 10 pixels, in [0, 1]; 0 where there are none.

    Raises:
        ValueError: the mask has fewer than 2 or more than 3 axes.

    Source: Franco-Barranco et al., CMPB 222:106949 (2022), public code since June 2022.

    >>> corner = np.zeros((1, 6, 6), bool)
    >>> corner[0, :, :3] = corner[0, 3:] = True
    >>> round(solidity(corner), 3), solidity(np.zeros((2, 4, 4)))
    (0.9, 0.0)
    """
    return _mean(cross_sections(mask).solidity)


def area_ratio(mask: Array, *, tissue: Array | None = None, growth: float = 0.0) -> float:
    """Mean over cross-sections of area over the area of the section: the criterion's first version ("ARA").

    Args:
        mask: `(z, y, x)`, or `(y, x)` for one section; non-zero = foreground.
        tissue: shaped like `mask`; only its non-zero pixels count as area of a section. All by default.
        growth: how much the section grows from one to the next, as a part of the first; the ratios of section
            z are multiplied by 1 + z `growth`. The published code uses `tissue_growth` for Kasthuri++.

    Returns:
        The mean over all cross-sections of more than 10 pixels; 0 where there are none.

    Raises:
        ValueError: the mask has fewer than 2 or more than 3 axes, or `tissue` another shape.

    Source: Franco-Barranco et al., arXiv:2202.10773 v1, public code until June 2022.

    >>> blob = np.zeros((1, 10, 10), bool)
    >>> blob[0, 2:6, 2:7] = True
    >>> area_ratio(blob), area_ratio(blob, tissue=np.tri(10)[None])
    (0.2, 0.36363636363636365)
    """
    stack = _stack(mask)
    inside = np.ones_like(stack) if tissue is None else _stack(tissue)
    if inside.shape != stack.shape:
        raise ValueError(f"mask and tissue differ in shape: {stack.shape} and {inside.shape}")
    whole = np.count_nonzero(inside, axis=(1, 2))
    found = cross_sections(stack)
    factor = 1.0 + found.section * growth
    return _mean(found.area / np.maximum(whole[found.section], 1) * factor)


def tissue_growth(tissue: Array) -> float:
    """How much tissue a section shows more than the one before, as the published code computes it.

    It is the ratio of the last section's tissue to the first's, over the number of steps between them.

    Args:
        tissue: `(z, y, x)`; non-zero = tissue, as in an image whose empty border is black.

    Raises:
        ValueError: fewer than two sections, or no tissue in the first.

    >>> tissue_growth(np.array([[[1, 0]], [[1, 0]], [[1, 1]]]))
    1.0
    """
    stack = _stack(tissue)
    first, last = np.count_nonzero(stack[0]), np.count_nonzero(stack[-1])
    if len(stack) < 2 or first == 0:
        raise ValueError(
            f"growth needs two sections and tissue in the first, not {len(stack)} and {first} px"
        )
    return int(last) / int(first) / (len(stack) - 1)


def _without_small(plane: Array, smallest: int) -> Array:
    """The labels of one section without those of few pixels, which are many where a mask is noise."""
    kept = np.bincount(plane.ravel()) > smallest
    return np.where(kept[plane], plane, 0)


def _stack(mask: Array) -> Array:
    if mask.ndim not in (2, 3):
        raise ValueError(f"a stack has the axes (z, y, x) or (y, x), not the shape {mask.shape}")
    return (mask if mask.ndim == 3 else mask[None]) != 0


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0
