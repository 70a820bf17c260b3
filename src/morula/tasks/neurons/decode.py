"""Affinities to neurons, with the threshold that scores best on the validation part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from morula.blockwise import BlockGrid, fragments_of
from morula.core.affinities import Affinities
from morula.core.types import Array, Segmentation
from morula.metrics import joined, neuron_scores_of, overlap
from morula.post import Linkage, MergeTree, agglomerate, boundary, fragments, region_graph, relabel, sharpen
from morula.tasks.neurons.settings import Decode

__all__ = ["Decoder", "curve", "decoder_of", "lowest", "tune"]

_CUBE, _SECTIONS = (128, 256, 256), (64, 512, 512)  # voxels that are flooded at once
_AROUND = 16  # voxels


@dataclass(frozen=True)
class Decoder:
    """How neurons are made of affinities.

    Attributes:
        fragments: watershed in each section or in the volume.
        smoothing: of the distance to borders, in voxels.
        linkage: what of a contact counts.
        threshold: fragments are joined while one minus the affinity of their contact is below it.
        borders: who says where a border lies, the network alone or the darkest grey values near it.
    """

    fragments: Literal["sections", "volume"]
    smoothing: float
    linkage: Linkage
    threshold: float = 0.5
    borders: Literal["network", "grey"] = "network"

    def drawn(self, affinities: Affinities, image: Array) -> Affinities:
        """What a network gave, with the borders where they belong.

        Args:
            affinities: as predicted.
            image: the grey values that they are of, `(z, y, x)`.
        """
        if self.borders == "network":
            return affinities
        return sharpen(affinities, image, per_section=self.fragments == "sections")

    def lattice(self, shape: tuple[int, ...]) -> BlockGrid:
        """Where the watershed of a volume is cut, in memory and by blocks alike.

        Its parts are whole shards, no larger than a laptop floods, and are flooded with a little of what lies
        around them, for seeds near a face depend on it.
        """
        sections = self.fragments == "sections"
        part = tuple(min(a, b) for a, b in zip(_SECTIONS if sections else _CUBE, shape, strict=True))
        return BlockGrid(shape, part, (0 if sections else _AROUND, _AROUND, _AROUND))

    def split(self, affinities: Affinities) -> Array:
        """Fragments `(z, y, x)`, 1..N, of a part of a volume."""
        return fragments(affinities, per_section=self.fragments == "sections", smoothing=self.smoothing)

    def pieces(self, affinities: Affinities) -> Array:
        """Fragments `(z, y, x)`, 1..N, of a whole volume."""
        return fragments_of(affinities, self.split, self.lattice(affinities.shape))

    def __call__(self, affinities: Affinities) -> Segmentation:
        """Neurons of a volume; the score of each is the mean of its nearest affinities."""
        pieces = self.pieces(affinities)
        labels = relabel(pieces, _tree(pieces, affinities, self.linkage).cut(self.threshold))
        inside = 1 - boundary(affinities, per_section=self.fragments == "sections")
        voxels = np.bincount(labels.ravel())
        sure = np.bincount(labels.ravel(), weights=inside.ravel()) / np.maximum(voxels, 1)
        return Segmentation(labels, sure[1:], ("neuron",) * (len(voxels) - 1), {"affinity": inside})

    @property
    def decoding(self) -> dict[str, str | float]:
        """What is left to do with affinities whose borders are drawn, as `write_affinities` keeps it."""
        return {name: value for name, value in asdict(self).items() if name != "borders"}

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def of_json(cls, row: Mapping[str, Any]) -> Decoder:
        """What `as_json` gave."""
        return cls(**row)


def decoder_of(settings: Decode, *, isotropic: bool) -> Decoder:
    """The decoder before its threshold is tuned."""
    where, borders = settings.fragments, settings.borders
    if where == "auto":
        where = "volume" if isotropic else "sections"
    if borders == "auto":
        borders = "grey" if isotropic else "network"
    return Decoder(where, settings.smoothing, settings.linkage, borders=borders)


def tune(
    decoder: Decoder, affinities: Affinities, truth: Array, count: int
) -> tuple[Decoder, list[dict[str, float]]]:
    """Takes the threshold with the lowest variation of information.

    Args:
        decoder: all but the threshold.
        affinities: of the validation part.
        truth: its labels `(z, y, x)`, 0 where nothing is scored.
        count: how many thresholds are tried, evenly between 0.02 and 0.98.

    Returns:
        The tuned decoder, and the scores of each threshold.
    """
    rows = curve(decoder.pieces(affinities), affinities, decoder.linkage, truth, count)
    return replace(decoder, threshold=lowest(rows)["threshold"]), rows


def lowest(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The row of a curve with the lowest variation of information."""
    return dict(min(rows, key=lambda row: row["voi"]))


def curve(
    pieces: Array, affinities: Affinities, linkage: Linkage, truth: Array, count: int
) -> list[dict[str, float]]:
    """Scores of fragments joined by their affinities at each threshold, without making any volume of them.

    Args:
        pieces: fragments `(z, y, x)`, of these affinities or from elsewhere.
        affinities: of the same volume.
        linkage: what of a contact counts.
        truth: labels `(z, y, x)`, 0 where nothing is scored.
        count: how many thresholds are tried, evenly between 0.02 and 0.98.

    Returns:
        `threshold`, and what `neuron_scores` gives there.
    """
    tree, table = _tree(pieces, affinities, linkage), overlap(pieces, truth)
    rows: list[dict[str, float]] = []
    for threshold in np.linspace(0.02, 0.98, count).tolist():
        labels = tree.cut(threshold)[table.pred_ids]
        rows.append({"threshold": threshold, **neuron_scores_of(joined(table, labels))})
    return rows


def _tree(pieces: Array, affinities: Affinities, linkage: Linkage) -> MergeTree:
    return agglomerate(region_graph(pieces, affinities, histograms=linkage == "median"), linkage)
