"""New images by a trained run of preset best."""

from __future__ import annotations

from lightning_fabric import Fabric
from torch import nn

from morula.core.errors import DataError
from morula.core.types import Array, Segmentation, Volume
from morula.data.modality import Modality
from morula.recipes.cupre.config import CupreConfig
from morula.recipes.cupre.look import Look
from morula.tasks.cells.decode import Cut, Verdict, level_of, segmentation, stained_cut, verdict_of
from morula.tasks.cells.density import LARGEST, Plane
from morula.tasks.cells.front import Prepared
from morula.tasks.cells.large import Sight
from morula.tasks.cells.student import maps_of, maps_of_tile

__all__ = ["CuprePredictor", "cut_of"]

_PLAIN = Cut(smoothing=0.12, valley=0.06, rounding=0.0)


def cut_of(kind: Modality, *, normalise: bool = True) -> Cut:
    """How maps become objects; a finer cut takes images at their own size, and spread cells, to pieces.

    Args:
        kind: modality.
        normalise: whether objects are at the common size.
    """
    return stained_cut(kind) if normalise and kind != "phase contrast" else _PLAIN


class CuprePredictor:
    """A trained run, ready for new images.

    An image of a kind that nobody labelled, in which the network sees something else than the pseudo labels
    do, keeps these.
    """

    def __init__(
        self,
        network: nn.Module,
        look: Look,
        labelled: frozenset[str],
        config: CupreConfig,
        fabric: Fabric,
    ) -> None:
        self._network, self._look, self._labelled = network, look, labelled
        self._config, self._fabric = config, fabric

    def __call__(self, volume: Volume) -> Segmentation:
        """Objects, scores, classes and maps of one 2D image."""
        image = volume.read_yxc()
        standard = self._look.standard(image)
        prepared = standard.whole(image)
        inside, distance = maps_of(self._network, prepared, self._fabric, augment=self._config.augment_test)
        large = image.shape[0] * image.shape[1] > LARGEST
        verdict = self._verdict(standard.from_afar(image)) if large else self._verdict(prepared, inside)
        cut = cut_of(prepared.modality, normalise=self._look.normalise)
        diameter = self._look.diameter_of(prepared.modality)
        return segmentation(prepared, inside, distance, diameter, image, verdict, cut)

    def sight(self, image: Plane, where: str) -> Sight:
        """What is told from an image of any size as a whole.

        Args:
            image: `(y, x, c)`.
            where: what to name in an error.

        Raises:
            DataError: the network cannot be trusted with it, and pseudo labels are not made by blocks.
        """
        standard = self._look.standard(image)
        verdict = self._verdict(standard.from_afar(image))
        if verdict.failed:
            found = f"{standard.modality}, of which no image was labelled, and the run does not recognise it"
            raise DataError(where, found, "label a window of it, and train again")
        cut = cut_of(standard.modality, normalise=self._look.normalise)
        return Sight(standard, verdict, cut, self._look.diameter_of(standard.modality))

    def maps(self, tile: Prepared) -> Array:
        """Foreground probability and centre distance `(2, y, x)` of a tile with its halo."""
        return maps_of_tile(self._network, tile, self._fabric, augment=self._config.augment_test)

    def _verdict(self, prepared: Prepared, inside: Array | None = None) -> Verdict:
        if self._trusted(prepared):
            return Verdict(level_of(prepared) if self._look.normalise else None, failed=False)
        if inside is None:
            inside, _ = maps_of(self._network, prepared, self._fabric, augment=self._config.augment_test)
        return verdict_of(prepared, inside, self._look.diameter_of(prepared.modality))

    def _trusted(self, prepared: Prepared) -> bool:
        return prepared.modality in self._labelled or not self._look.normalise
