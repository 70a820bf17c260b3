"""New images by a trained run."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_fabric import Fabric
from torch import nn

from morula.core.types import Segmentation, Volume
from morula.data.modality import Modality
from morula.recipes.psm.config import PsmConfig
from morula.tasks.cells.controls import pseudo_labels
from morula.tasks.cells.decode import segmentation
from morula.tasks.cells.front import SizePrior, prepare
from morula.tasks.cells.student import maps_of

__all__ = ["PsmPredictor"]


class PsmPredictor:
    """A trained run, ready for new images; those of a kind that it has hardly seen keep pseudo labels."""

    def __init__(
        self,
        network: nn.Module,
        priors: Mapping[str, SizePrior],
        learned: frozenset[Modality],
        config: PsmConfig,
        fabric: Fabric,
    ) -> None:
        self._network, self._priors, self._learned = network, priors, learned
        self._config, self._fabric = config, fabric

    def __call__(self, volume: Volume) -> Segmentation:
        """Objects, scores, classes and maps of one 2D image."""
        image = volume.read_yxc()
        prepared = prepare(image, self._priors, self._config.diameter)
        if prepared.modality not in self._learned:
            return pseudo_labels(prepared, self._config.diameter, image)
        maps = maps_of(self._network, prepared, self._fabric, augment=self._config.augment_test)
        return segmentation(prepared, *maps, self._config.diameter, image)
