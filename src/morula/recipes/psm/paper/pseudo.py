"""Stages 2 and 3 on one image: its prior self-activation map, and its pseudo-mask."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from morula.core.rng import Rng
from morula.core.types import Array
from morula.engine import seeded
from morula.recipes.psm.paper import clustering
from morula.recipes.psm.paper.activation import ActivationNetwork
from morula.recipes.psm.paper.cam import activation_map
from morula.recipes.psm.paper.config import PaperConfig
from morula.recipes.psm.paper.fields import blend

__all__ = ["channels_first", "prior_map", "pseudo_mask", "untrained"]


def untrained(config: PaperConfig, rng: Rng) -> ActivationNetwork:
    """The activation network before its first step; as a control, it decides whether stage 1 helps."""
    with seeded(rng):
        return ActivationNetwork(config.activation.network, config.activation.proxy)


def channels_first(image: Array) -> Tensor:
    """`(y, x, 3)` uint8 as `(3, y, x)` float32 of 0-255."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))).float()


def prior_map(network: ActivationNetwork, image: Array, config: PaperConfig) -> Array:
    """The map of an image, `(y, x)` float32 in [0, 1]; of one larger than the crop, the mean over tiles.

    Args:
        network: f, on any device.
        image: `(y, x, 3)` uint8, no side shorter than the crop.
        config: crop, input scale and whether the sign is resolved.
    """
    device = next(network.parameters()).device
    scale = 1 / 255 if config.defects.input_scale_mismatch else 1.0

    def look(tile: Array) -> Array:
        return activation_map(network, network.layer1, scale * channels_first(tile).to(device)).cpu().numpy()

    psm = blend(image, config.crop, config.crop // 4, look)
    return psm if config.defects.sign_ambiguity else clustering.flip_to_stain(psm, clustering.stain(image))


def pseudo_mask(
    psm: Array, image: Array, config: PaperConfig, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Clusters an image with its map.

    Args:
        psm: `(y, x)` in [0, 1]; a constant one leaves colour alone to decide.
        image: `(y, x, 3)` RGB uint8.
        config: the constants of stage 3.
        rng: starts K-means.

    Returns:
        The clusters, `(y, x)` uint8 with nuclei as number 1, and the cleaned pseudo-mask, `(y, x)` bool.
    """
    how, defects = config.clustering, config.defects
    fused = clustering.fuse(psm, image, how.beta, bgr=defects.colour_rule)
    points = fused.reshape(-1, 3)
    some = points if len(points) <= how.fit_pixels else rng.choice(points, how.fit_pixels, replace=False)
    centres = clustering.kmeans(
        some, how.clusters, rng, attempts=how.attempts, iterations=how.iterations, eps=how.eps
    )
    assign = clustering.nearest(points, centres).reshape(psm.shape)
    stained = None if defects.colour_rule else clustering.stain(image)
    clusters = clustering.nuclei_first(assign, fused, stained)
    return clusters, clustering.clean(clusters == 1, how.smallest, how.holes, noop=defects.noop_size_filter)
