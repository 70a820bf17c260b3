"""What the recipe has to beat: a threshold, clusters, an untrained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from morula.core.rng import Rng
from morula.core.types import Segmentation, Volume
from morula.data.modality import modality
from morula.engine import seeded
from morula.recipes.psm.activation import ActivationNet, orient, self_activation
from morula.recipes.psm.clustering import features, fit_mixture
from morula.tasks.cells.controls import from_mask, otsu_watershed
from morula.tasks.cells.decode import to_shape
from morula.tasks.cells.density import density, optical_density
from morula.tasks.cells.standard import prepare

__all__ = [
    "checkpoints",
    "colour_kmeans",
    "controls",
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


def colour_kmeans(volume: Volume) -> Segmentation:
    """Three clusters of the channels of one image, the densest taken: the published step without its map."""
    image = volume.read_yxc()
    kind = modality(image)
    coloured = kind in ("H&E", "IHC")
    dense = density(image, kind)[..., None]
    values = np.concatenate([dense, optical_density(image)], axis=-1) if coloured else dense
    pixels = values.reshape(-1, values.shape[-1])
    mixture = fit_mixture(pixels[:: max(1, len(pixels) // 20000)], 3, np.random.default_rng(0))
    return from_mask(mixture.foreground(values) > 0.5, image)


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
    return from_mask(to_shape(mixture.foreground(values), prepared.shape) > 0.5, image)
