"""Borders of affinities, moved to where the membrane is darkest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morula.core.affinities import NEAREST, Affinities, edge
from morula.core.types import Array
from morula.post.fragments import weakest
from morula.post.untyped import ndi

__all__ = ["sharpen"]

_SMOOTHING, _AROUND = 0.5, 5  # voxels
_LEAST = 0.1  # contrast that counts at least, so that noise is not taken for a membrane
_FLAT = 1e-6  # contrast below which grey values say nothing: saturated, or beyond the tissue


def sharpen(affinities: Affinities, image: Array, *, per_section: bool) -> Affinities:
    """Grey values say where a border lies, after the affinities have said that there is one.

    A network that works at half the resolution finds a membrane, but not its darkest voxels. With a the
    affinity of two voxels, m the lowest of either to any neighbour, and g their grey value between the
    darkest and the brightest around them, a becomes m a + (1 - m) g: what no border is near stays.

    Args:
        affinities: with the three nearest offsets; the others stay as they are.
        image: `(z, y, x)`, of the same voxels, mostly in [0, 1], membranes dark.
        per_section: leave z out, where sections are thicker than pixels.

    Returns:
        Attractive affinities in the order and the type that they came in.

    Raises:
        KeyError: a nearest offset is missing.
    """
    attractive = affinities.attractive()
    flat = int(per_section)
    edges = attractive.nearest().values.astype(np.float32)[flat:]
    inside, local = weakest(edges), _local(image, per_section=per_section)
    values = attractive.values.copy()
    for channel, offset in zip(edges, NEAREST[flat:], strict=True):
        here, there = edge(offset, attractive.shape)
        m = np.minimum(inside[here], inside[there])
        told = (local[here] + local[there]) / 2
        g = np.where(np.isnan(told), channel[here], told)
        values[attractive.offsets.index(offset)][here] = m * channel[here] + (1 - m) * g
    return replace(attractive, values=values)


def _local(image: Array, *, per_section: bool) -> Array:
    """Each voxel's grey value, 0 for the darkest and 1 for the brightest around it; NaN if all are alike."""
    depth = 0 if per_section else 1
    sigma = (depth * _SMOOTHING, _SMOOTHING, _SMOOTHING)
    grey: Array = ndi.gaussian_filter(np.clip(image, 0, 1).astype(np.float32), sigma)
    size = (depth * (_AROUND - 1) + 1, _AROUND, _AROUND)
    low, high = ndi.minimum_filter(grey, size), ndi.maximum_filter(grey, size)
    found: Array = (grey - low) / np.maximum(high - low, _LEAST)
    found[high - low < _FLAT] = np.nan
    return found
