"""The control that needs no labels: grey values read as affinities, for membranes are dark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage as ndi

from morula.core.affinities import NEAREST, Affinities, edge
from morula.core.types import Array, Segmentation, Volume
from morula.tasks.neurons.block import grey
from morula.tasks.neurons.decode import decoder_of
from morula.tasks.neurons.geometry import is_isotropic
from morula.tasks.neurons.settings import Decode, Network

__all__ = ["grey_affinities", "grey_control"]

_SMOOTHING = 1.0  # voxels of the plane


def grey_affinities(image: Array, *, isotropic: bool) -> Affinities:
    """The darker of two neighbours, after some smoothing: two voxels are apart if a membrane is at either.

    Args:
        image: `(z, y, x)` as `grey` gives it.
        isotropic: smooth along z, too.
    """
    smooth = np.asarray(ndi.gaussian_filter(image, (_SMOOTHING if isotropic else 0, _SMOOTHING, _SMOOTHING)))
    smooth = np.clip(smooth, 0, 1)
    values = np.zeros((len(NEAREST), *image.shape), np.float32)
    for number, offset in enumerate(NEAREST):
        here, there = edge(offset, image.shape)
        values[number][here] = np.minimum(smooth[here], smooth[there])
    return Affinities(values, NEAREST)


def grey_control(network: Network, decode: Decode) -> Callable[[Volume], Segmentation]:
    """Watershed and agglomeration of the grey values, at half of the grey range."""

    def segment(volume: Volume) -> Segmentation:
        isotropic = is_isotropic(network, volume.voxel)
        return decoder_of(decode, isotropic=isotropic)(grey_affinities(grey(volume), isotropic=isotropic))

    return segment
