"""Neurons without labels and without training: membranes are darker than what lies around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage as ndi

from morula.core.affinities import NEAREST, Affinities, edge
from morula.core.types import Array, Segmentation, Volume
from morula.tasks.neurons.block import grey
from morula.tasks.neurons.decode import Decoder, decoder_of
from morula.tasks.neurons.geometry import is_isotropic
from morula.tasks.neurons.settings import Decode, Network

__all__ = ["GREY_CONTROL", "grey_affinities", "grey_control", "grey_decoder"]

GREY_CONTROL = "watershed of the grey values"
"""What the control is called, in a run's folder and in its report."""

_SMOOTHING, _AROUND = 1.0, 12.0  # voxels
_MEMBRANE, _SLOPE = -1.2, 1 / 3  # of the normalised grey value, where an affinity is one half
_THRESHOLD = 0.34


def grey_affinities(image: Array, *, isotropic: bool) -> Affinities:
    """The darker of two neighbours: two voxels are apart if a membrane is at either.

    Grey values are smoothed and then compared with the mean and the spread of what lies around, so that
    neither a dark cell nor a faint section counts as membrane.

    Args:
        image: `(z, y, x)` as `grey` gives it.
        isotropic: smooth and compare along z, too.
    """

    def blurred(values: Array, sigma: float) -> Array:
        return np.asarray(ndi.gaussian_filter(values, (sigma if isotropic else 0, sigma, sigma)))

    mean = blurred(image, _AROUND)
    spread = np.sqrt(blurred((image - mean) ** 2, _AROUND))
    normal = (blurred(image, _SMOOTHING) - mean) / np.maximum(spread, 1e-6)
    inside = np.clip(0.5 + _SLOPE * (normal - _MEMBRANE), 0, 1)
    values = np.zeros((len(NEAREST), *image.shape), np.float32)
    for number, offset in enumerate(NEAREST):
        here, there = edge(offset, image.shape)
        values[number][here] = np.minimum(inside[here], inside[there])
    return Affinities(values, NEAREST)


def grey_decoder(decode: Decode, *, isotropic: bool) -> Decoder:
    """What makes neurons of `grey_affinities`; its threshold is fixed, for there is nothing to tune it on."""
    return replace(decoder_of(decode, isotropic=isotropic), linkage="mean", threshold=_THRESHOLD)


def grey_control(network: Network, decode: Decode) -> Callable[[Volume], Segmentation]:
    """Watershed and agglomeration of the grey values."""

    def segment(volume: Volume) -> Segmentation:
        isotropic = is_isotropic(network, volume.voxel)
        found = grey_affinities(grey(volume), isotropic=isotropic)
        return grey_decoder(decode, isotropic=isotropic)(found)

    return segment
