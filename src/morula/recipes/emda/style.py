"""Online style transfer without training: source crops get grey value statistics of the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from morula.core.types import Array
from morula.recipes.emda.appearance import fda, match_histogram, target_quantiles

__all__ = ["Style", "StyleKind"]

StyleKind = Literal["none", "histogram", "histogram-patches", "fourier", "both"]

_BETAS = (0.01, 0.03, 0.09)  # half the window of exchanged frequencies, as a part of the crop


class Style:
    """What the target looks like, ready to be given to source images on the scale 0 to 255.

    `histogram` matches whole sections to the pooled target, `histogram-patches` crops after their geometry:
    the published rules, offline and online. `fourier` exchanges the low-frequency amplitudes with a target
    crop. `both` draws one or the other or both, and its histograms are those of single target sections, so
    that the network meets as many looks as the target has.

    Args:
        kind: see above.
        share: part of the images that are changed.
        target: the target's volumes, each `(z, y, x)` uint8.
    """

    def __init__(self, kind: StyleKind, share: float, target: Sequence[Array]) -> None:
        self._kind: StyleKind = kind
        self._share = share
        sections = [section for stack in target for section in stack if section.any()]
        if kind == "both":
            self._quantiles = [target_quantiles([section]) for section in sections]
        else:
            self._quantiles = [target_quantiles(sections)] if kind.startswith("histogram") else []

    def draw(self, draw: np.random.Generator) -> frozenset[str]:
        """Which changes the next crop gets."""
        if self._kind == "none" or draw.random() >= self._share:
            return frozenset()
        if self._kind != "both":
            return frozenset({self._kind})
        kinds = (frozenset({"histogram"}), frozenset({"fourier"}), frozenset({"histogram", "fourier"}))
        return kinds[int(draw.integers(3))]

    def sections(self, sections: Array, changes: frozenset[str], draw: np.random.Generator) -> Array:
        """Whole source sections `(n, y, x)`, their histogram matched if that is among the changes."""
        if "histogram" not in changes:
            return sections
        return match_histogram(sections, self._quantiles[int(draw.integers(len(self._quantiles)))])

    def crop(
        self, crop: Array, target: Array | None, changes: frozenset[str], draw: np.random.Generator
    ) -> Array:
        """A source crop `(n, y, x)` after its geometry.

        Args:
            crop: on the scale 0 to 255.
            target: a target crop `(y, x)` of the same size; needed for `fourier`.
            changes: of `draw`.
            draw: chooses the width of the exchanged window.
        """
        if "histogram-patches" in changes:
            crop = match_histogram(crop, self._quantiles[0])
        if "fourier" in changes and target is not None:
            crop = fda(crop, target, _BETAS[int(draw.integers(len(_BETAS)))])
        return crop
