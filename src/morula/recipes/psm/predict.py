"""New images by a trained run."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_fabric import Fabric
from torch import nn

from morula.core.errors import DataError
from morula.core.types import Array, Segmentation, Volume
from morula.data.modality import Modality
from morula.recipes.psm.config import PsmConfig
from morula.tasks.cells.controls import pseudo_labels
from morula.tasks.cells.decode import Verdict, segmentation, stained_cut, verdict_of
from morula.tasks.cells.density import LARGEST, Plane
from morula.tasks.cells.front import Prepared, SizePrior
from morula.tasks.cells.large import Sight
from morula.tasks.cells.standard import Standard, standard_of
from morula.tasks.cells.student import maps_of, maps_of_tile

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
        standard = standard_of(image, self._priors, self._config.diameter)
        prepared = standard.whole(image)
        if prepared.modality not in self._learned:
            return pseudo_labels(prepared, self._config.diameter, image)
        maps = maps_of(self._network, prepared, self._fabric, augment=self._config.augment_test)
        large = image.shape[0] * image.shape[1] > LARGEST
        verdict = self._verdict(image, standard) if large else None
        return segmentation(prepared, *maps, self._config.diameter, image, verdict)

    def sight(self, image: Plane, where: str) -> Sight:
        """What is told from an image of any size as a whole.

        Args:
            image: `(y, x, c)`.
            where: what to name in an error.

        Raises:
            DataError: the network cannot be trusted with it, and pseudo labels are not made by blocks.
        """
        standard = standard_of(image, self._priors, self._config.diameter)
        fix = "train a run on images like it, or on windows of it"
        if standard.modality not in self._learned:
            raise DataError(where, f"{standard.modality}, a kind that this run has hardly learned", fix)
        verdict = self._verdict(image, standard)
        if verdict.failed:
            raise DataError(where, "cells that the network of this run does not recognise", fix)
        return Sight(standard, verdict, stained_cut(standard.modality), self._config.diameter)

    def maps(self, tile: Prepared) -> Array:
        """Foreground probability and centre distance `(2, y, x)` of a tile with its halo."""
        return maps_of_tile(self._network, tile, self._fabric, augment=self._config.augment_test)

    def _verdict(self, image: Plane, standard: Standard) -> Verdict:
        prepared = standard.from_afar(image)
        inside, _ = maps_of(self._network, prepared, self._fabric, augment=self._config.augment_test)
        return verdict_of(prepared, inside, self._config.diameter)
