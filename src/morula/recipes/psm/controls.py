"""What the recipe has to beat: a threshold, clusters, an untrained network, its own pseudo labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi
import torch
from lightning_fabric import Fabric

from morula.core.rng import Rng
from morula.core.types import Array, Segmentation, Volume
from morula.data.modality import modality
from morula.engine import seeded
from morula.post import drop_small, split
from morula.recipes.psm.activation import ActivationNet, orient, self_activation
from morula.recipes.psm.clustering import features, fit_mixture
from morula.tasks.cells.decode import classes_of, enlarged, to_shape
from morula.tasks.cells.front import SizePrior, density, foreground, optical_density, prepare, soft_otsu
from morula.tasks.cells.pseudo import pseudo_instances

__all__ = [
    "checkpoints",
    "colour_kmeans",
    "controls",
    "otsu_watershed",
    "pseudo_only",
    "untrained_activation",
]

_DIAMETER = 22.0  # pixels; the common scale of preset best


def controls() -> Mapping[str, Callable[[Volume], Segmentation]]:
    """The simple methods by name."""
    return {
        "otsu-watershed": otsu_watershed,
        "colour-clusters": colour_kmeans,
        "untrained-activation": untrained_activation,
    }


def checkpoints(path: Path, fabric: Fabric) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """None: the model is what the last stage made, not chosen among several."""
    del path, fabric
    return {}


def otsu_watershed(volume: Volume) -> Segmentation:
    """Otsu's threshold of one stain or of the brightness, then a watershed of the distance transform."""
    image = volume.read_yxc()
    kind = modality(image)
    coloured = kind in ("H&E", "IHC")
    dense = optical_density(image)[..., 0] if coloured else density(image, kind)
    if kind == "IHC":  # brightness of red, in which pale haematoxylin is not lost beside black DAB
        dense = 1 - np.exp(-dense)
    return _from_mask(soft_otsu(dense) > 0.5, image)


def colour_kmeans(volume: Volume) -> Segmentation:
    """Three clusters of the channels of one image, the densest taken: the published step without its map."""
    image = volume.read_yxc()
    kind = modality(image)
    coloured = kind in ("H&E", "IHC")
    dense = density(image, kind)[..., None]
    values = np.concatenate([dense, optical_density(image)], axis=-1) if coloured else dense
    pixels = values.reshape(-1, values.shape[-1])
    mixture = fit_mixture(pixels[:: max(1, len(pixels) // 20000)], 3, np.random.default_rng(0))
    return _from_mask(mixture.foreground(values) > 0.5, image)


def untrained_activation(volume: Volume) -> Segmentation:
    """Clusters of the recipe's features with the map of an activation network that has learned nothing."""
    image = volume.read_yxc()
    prepared = prepare(image, {}, _DIAMETER)
    with seeded(Rng(0, "untrained")):
        network = ActivationNet().eval()
    raw = self_activation(network, torch.from_numpy(prepared.network_input.astype(np.float32)))
    (prior,), _ = orient([raw], [prepared.density])
    values = features(prepared.density, prepared.colour, prior)
    pixels = values.reshape(-1, values.shape[-1])
    mixture = fit_mixture(pixels[:: max(1, len(pixels) // 20000)], 3, np.random.default_rng(0))
    return _from_mask(to_shape(mixture.foreground(values), prepared.shape) > 0.5, image)


def pseudo_only(volume: Volume, priors: Mapping[str, SizePrior], diameter: float) -> Segmentation:
    """The recipe's own pseudo labels from one threshold: no activation network, clusters or training."""
    image = volume.read_yxc()
    prepared = prepare(image, priors, diameter)
    pseudo = pseudo_instances(prepared, foreground(prepared), diameter)
    labels, scores = enlarged(pseudo, prepared.shape)
    return Segmentation(labels, scores, classes_of(image, labels, prepared.modality))


def _from_mask(mask: Array, image: Array) -> Segmentation:
    inside = ndi.binary_fill_holes(ndi.binary_opening(mask))
    depth = np.asarray(ndi.distance_transform_edt(inside))
    labels = split(np.asarray(inside, dtype=np.float32), depth, smoothing=1.5, depth=0.75, smallest=30)
    count = int(labels.max(initial=0))
    return Segmentation(drop_small(labels, 1), np.ones(count), classes_of(image, labels, modality(image)))
