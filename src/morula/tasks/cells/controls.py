"""What segments cells with neither labels nor training, for every recipe to be compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array, Segmentation, Volume
from morula.data.modality import modality
from morula.post import drop_small, split
from morula.tasks.cells.decode import classes_of, enlarged
from morula.tasks.cells.density import density, optical_density
from morula.tasks.cells.front import Prepared, SizePrior, foreground, soft_otsu
from morula.tasks.cells.pseudo import pseudo_instances
from morula.tasks.cells.standard import prepare

__all__ = ["from_mask", "otsu_watershed", "pseudo_labels", "pseudo_only"]


def otsu_watershed(volume: Volume) -> Segmentation:
    """Otsu's threshold of one stain or of the brightness, then a watershed of the distance transform."""
    image = volume.read_yxc()
    kind = modality(image)
    coloured = kind in ("H&E", "IHC")
    dense = optical_density(image)[..., 0] if coloured else density(image, kind)
    if kind == "IHC":  # brightness of red, in which pale haematoxylin is not lost beside black DAB
        dense = 1 - np.exp(-dense)
    return from_mask(soft_otsu(dense) > 0.5, image)


def pseudo_only(volume: Volume, priors: Mapping[str, SizePrior], diameter: float) -> Segmentation:
    """Pseudo labels from one threshold: no clusters, labels or training."""
    image = volume.read_yxc()
    return pseudo_labels(prepare(image, priors, diameter), diameter, image)


def pseudo_labels(prepared: Prepared, diameter: float, image: Array) -> Segmentation:
    """The same of an image `(y, x, c)` that is at the common scale already."""
    pseudo = pseudo_instances(prepared, foreground(prepared), diameter)
    labels, scores = enlarged(pseudo, prepared.shape)
    return Segmentation(labels, scores, classes_of(image, labels, prepared.modality, prepared.white))


def from_mask(mask: Array, image: Array) -> Segmentation:
    """Objects by a watershed of the distance transform of a mask `(y, x)`; each has score 1."""
    inside = ndi.binary_fill_holes(ndi.binary_opening(mask))
    depth = np.asarray(ndi.distance_transform_edt(inside))
    labels = split(np.asarray(inside, dtype=np.float32), depth, smoothing=1.5, depth=0.75, smallest=30)
    count = int(labels.max(initial=0))
    return Segmentation(drop_small(labels, 1), np.ones(count), classes_of(image, labels, modality(image)))
