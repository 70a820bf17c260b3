"""Stacks as the network sees them, and what their traces say of each voxel: neuron, background or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array
from morula.data import Alignment, align, draw_tree, refuse_mirrored

__all__ = ["Taught", "grey", "taught"]

_ndi: Any = import_module("scipy.ndimage")

_THIN, _THICK = 1.5, 3.0  # voxels; radii in between are believed, for those of many tracings are coarse
_RIM = 3.0  # voxels around the mask where bright voxels may be the neuron, too
_BODY = 6.0  # voxels; larger radii are of cell bodies and trunks, and believed where it is bright
_BALL = 10.0  # voxels around a root in which a bright structure goes on that nobody traced
_DIM = 0.5  # times the median brightness along the trace: darker is background
_WHITE = 99.95  # percentile that becomes 1


@dataclass(frozen=True)
class Taught:
    """A stack with labels to learn from; all arrays `(z, y, x)`.

    Attributes:
        name: of the record.
        image: float32 in [0, 1].
        mask: 1 neuron, 0 background, uint8.
        known: where the label counts, bool.
        tree: the trace, moved to where the image is bright.
        alignment: how the trace lay.
    """

    name: str
    image: Array
    mask: Array
    known: Array
    tree: Tree
    alignment: Alignment

    @property
    def points(self) -> Array:
        """`(n, 3)` voxels along the trace."""
        places = np.round(self.tree.sampled()).astype(np.intp)
        return places[((places >= 0) & (places < self.image.shape)).all(axis=1)]


def grey(image: Array) -> Array:
    """The root of the grey values between the median, 0, and the brightest two thousandth, 1.

    The median is the background, for a neuron fills a small part of a stack. The root brings dim branches
    near bright ones. Where fewer voxels than that are brighter than the median, as in a stack whose
    background was set to 0, white is told by these alone.
    """
    low, high = np.percentile(image, (50, _WHITE))
    if high <= low and (above := image[image > low]).size:
        high = np.percentile(above, _WHITE)
    scaled = (image.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
    return np.sqrt(np.clip(scaled, 0, 1))


def taught(name: str, image: Array, tree: Tree) -> Taught:
    """What a stack and its trace teach.

    The trace is moved first to where the image is brightest. Neuron is what lies within its radii, held
    between 1.5 and 3 voxels, and the bright voxels within those above 6. All else within the radii as they
    are is unknown, and so are bright voxels that touch the mask (the radii are coarse) and those that go on
    beyond a root (the trace begins part-way).

    Raises:
        DataError: the trace fits only when it is mirrored.
    """
    found = align(tree, image)
    refuse_mirrored(name, found)
    moved = tree.moved(found.shift)
    shown = grey(image)
    sure, thick, told, around = _drawn(moved, image.shape)
    places = np.round(moved.sampled()).astype(np.intp)
    places = np.clip(places, 0, np.array(image.shape) - 1)
    smooth = _ndi.gaussian_filter(shown, (0.5, 1, 1))
    bright = smooth >= _DIM * float(np.median(smooth[tuple(places.T)]))
    mask = sure | (thick & bright)
    unknown = (told | (bright & around)) & ~mask
    unknown |= _beyond(bright & ~around, moved)
    return Taught(name, shown, mask.astype(np.uint8), ~unknown, moved, found)


def _drawn(tree: Tree, shape: Sequence[int]) -> tuple[Array, Array, Array, Array]:
    """Masks of a trace: its radii held, the same but for those of bodies, as they are, and with a rim."""
    own = tree.radius
    held, rim = np.clip(own, _THIN, _THICK), np.clip(own, _THIN + _RIM, _THICK + _RIM)
    body = own > _BODY
    radii = held, np.where(body, own, held), np.maximum(own, _THIN), np.where(body, own + _RIM, rim)
    sure, thick, told, around = (draw_tree(replace(tree, radius=radius), shape) for radius in radii)
    return sure, thick, told, around


def _beyond(bright: Array, tree: Tree) -> Array:
    """Bright pieces outside of the trace that come near a root."""
    pieces, count = _ndi.label(bright, np.ones((3, 3, 3)))
    near = np.zeros(count + 1, np.bool_)
    for root in tree.points[tree.roots]:
        low = np.maximum(np.floor(root - _BALL), 0).astype(int)
        high = np.maximum(np.ceil(root + _BALL).astype(int) + 1, 0)
        near[np.unique(pieces[tuple(map(slice, low, high))])] = True
    near[0] = False
    return near[pieces]
