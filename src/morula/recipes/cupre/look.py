"""How every image is brought before the network, learned from the set and from the few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from morula.core.types import Array
from morula.data.modality import Modality
from morula.tasks.cells.density import Plane
from morula.tasks.cells.front import Prepared, Size, SizePrior, fit_sizes
from morula.tasks.cells.standard import Standard, standard_of, stretched, zoom

__all__ = ["Look", "fit_look", "median_diameter"]

_CERTAIN = 10**6  # objects; a size from labels counts in full
_SPREAD = 1.6  # how much wider than others a spread cell is seen
_TRUST = 2.0  # labelled images at which the estimates' bias is corrected by half


@dataclass(frozen=True)
class Look:
    """One look and one size of objects, or neither.

    Attributes:
        normalise: bring images to a density map and their median object to `diameter`; else only stretch
            their grey values.
        diameter: of the median object as the network sees it, in pixels; larger in phase contrast
            (`diameter_of`).
        sizes: diameters of the objects by modality, from outlines found without labels.
        bias: log of the true over the estimated diameter, from the labelled images.
    """

    normalise: bool
    diameter: float
    sizes: Mapping[str, SizePrior]
    bias: float

    def diameter_of(self, kind: Modality) -> float:
        """What the median object of a kind is brought to, in pixels; outlines of spread cells need more."""
        return self.diameter * (_SPREAD if self.normalise and kind == "phase contrast" else 1)

    def of(self, image: Array) -> Prepared:
        """A new image `(y, x, c)`."""
        return self.standard(image).whole(image)

    def standard(self, image: Plane) -> Standard:
        """How a new image of any size is brought to this look."""
        if not self.normalise:
            return stretched(image, self.diameter)
        return self._standard(image, None)

    def sized(self, image: Array, found: Size | None) -> Prepared:
        """An image `(y, x, c)` whose size is estimated already."""
        if not self.normalise:
            return stretched(image, self.diameter).whole(image)
        corrected = None if found is None else (found[0] * self._correction, found[1])
        return self._standard(image, corrected).whole(image)

    def _standard(self, image: Plane, found: Size | None) -> Standard:
        common = standard_of(image, self.sizes, self.diameter, found, correction=self._correction)
        return replace(common, signed=True, factor=zoom(common.diameter, self.diameter_of(common.modality)))

    @property
    def _correction(self) -> float:
        """True over estimated diameter."""
        return float(np.exp(self.bias))

    def labelled(self, image: Array, labels: Array) -> Prepared:
        """An image `(y, x, c)` whose labels `(y, x)` tell the size of its objects."""
        if not self.normalise:
            return stretched(image, self.diameter).whole(image)
        return self._standard(image, (median_diameter(labels), _CERTAIN)).whole(image)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        sizes = {kind: asdict(prior) for kind, prior in self.sizes.items()}
        return {
            "normalise": self.normalise, "diameter": self.diameter, "sizes": sizes, "bias": self.bias
        }  # fmt: skip

    @staticmethod
    def of_json(saved: Mapping[str, Any]) -> Look:
        """What `as_json` gave."""
        sizes = {kind: SizePrior(**prior) for kind, prior in saved["sizes"].items()}
        return Look(saved["normalise"], saved["diameter"], sizes, saved["bias"])


def fit_look(
    images: Sequence[Array], labels: Sequence[Array | None], *, normalise: bool, diameter: float
) -> tuple[Look, list[Size | None]]:
    """The look of a set, and each image's estimated size.

    Args:
        images: each `(y, x, c)`.
        labels: of each image `(y, x)` with at least one object, or None.
        normalise: see `Look`.
        diameter: wanted, in pixels; without `normalise` that of the labelled objects is taken.
    """
    known = {place: median_diameter(each) for place, each in enumerate(labels) if each is not None}
    if not normalise:
        return Look(False, float(np.median(list(known.values()))), {}, 0.0), [None] * len(images)
    sizes, found = fit_sizes(images)
    wrong = [np.log(true / size[0]) for place, true in known.items() if (size := found[place]) is not None]
    bias = float(np.sum(wrong)) / (len(wrong) + _TRUST)
    corrected = {kind: SizePrior(prior.log_mean + bias, prior.log_variance) for kind, prior in sizes.items()}
    return Look(True, diameter, corrected, bias), found


def median_diameter(labels: Array) -> float:
    """Diameter in pixels of the disc that is as large as the median object of `labels`, which has some."""
    areas = np.bincount(labels.ravel())[1:]
    return 2 * float(np.sqrt(np.median(areas[areas > 0]) / np.pi))
