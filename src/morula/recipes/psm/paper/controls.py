"""What the maps must beat: the same clustering without them, and with those of an untrained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from morula.core.rng import Rng
from morula.core.types import Array, Record, Segmentation, Volume
from morula.recipes.psm.paper.config import PaperConfig
from morula.recipes.psm.paper.fields import field
from morula.recipes.psm.paper.pseudo import prior_map, pseudo_mask, untrained
from morula.recipes.psm.paper.segment import segmentation

__all__ = ["controls"]

Predictor = Callable[[Volume], Segmentation]


def controls(records: Sequence[Record], config: PaperConfig) -> Mapping[str, Predictor]:
    """Pseudo-masks of whole images, by name of the control; nothing is trained and no record is read.

    `colour-kmeans` clusters the image alone. `untrained-map` reads the map from a network with random
    weights: if it is as good as the pseudo-masks of the trained one, the proxy task adds nothing.
    """
    network = untrained(config, Rng(0, "untrained"))
    return {
        "colour-kmeans": _clustered(lambda image: np.zeros(image.shape[:2], np.float32), config),
        "untrained-map": _clustered(lambda image: prior_map(network, image, config), config),
    }


def _clustered(look: Callable[[Array], Array], config: PaperConfig) -> Predictor:
    def predict(volume: Volume) -> Segmentation:
        height, width = volume.spatial_shape
        image = field(volume, config.crop, whole=True)
        _, mask = pseudo_mask(look(image), image, config, Rng(0, "kmeans").at(0))
        return segmentation(mask[:height, :width].astype(np.float32))

    return predict
