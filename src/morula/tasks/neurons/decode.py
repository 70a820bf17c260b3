"""Affinities to neurons, with the threshold that scores best on the validation part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from morula.blockwise import BlockGrid, Box, StoredAffinities, fragments_of, graph_of
from morula.blockwise.grid import relative
from morula.blockwise.join import grown
from morula.blockwise.neurons import parts_of
from morula.core.affinities import NEAREST, Affinities
from morula.core.types import Array, Segmentation
from morula.metrics import joined, neuron_scores_of, overlap
from morula.post import Linkage, MergeTree, agglomerate, boundary, fragments, relabel, sharpen
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

    def pieces(self, affinities: Affinities | StoredAffinities) -> Array:
        """Fragments `(z, y, x)`, 1..N, of a whole volume."""
        return fragments_of(_stored(affinities), self.split, self.lattice(affinities.shape))

    def inside(self, affinities: StoredAffinities, box: Box) -> Array:
        """The mean of the nearest affinities of each voxel of a box, `(z, y, x)` float32."""
        wide = grown(box, affinities.shape, (1, 1, 1))
        rim = boundary(affinities.read(wide, NEAREST), per_section=self.fragments == "sections")
        return (1 - rim)[relative(box, wide)]

    def __call__(self, affinities: Affinities | StoredAffinities) -> Segmentation:
        """Neurons of a volume; the score of each is the mean of its nearest affinities.

        Of bytes, no more than a part is ever made numbers: all of them would be most of the memory.
        """
        maps = _stored(affinities)
        pieces = self.pieces(maps)
        labels = relabel(pieces, _tree(pieces, maps, self.linkage).cut(self.threshold))
        del pieces
        count = int(labels.max(initial=0)) + 1
        inside, voxels, sums = np.empty(labels.shape, np.float32), np.zeros(count, np.int64), np.zeros(count)
        for box in parts_of(labels.shape):
            inside[box] = self.inside(maps, box)
            owner = labels[box].ravel()
            voxels += np.bincount(owner, minlength=count)
            sums += np.bincount(owner, weights=inside[box].ravel(), minlength=count)
        sure = sums / np.maximum(voxels, 1)
        return Segmentation(labels, sure[1:], ("neuron",) * (count - 1), {"affinity": inside})

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
    pieces: Array, affinities: Affinities | StoredAffinities, linkage: Linkage, truth: Array, count: int
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


def _tree(pieces: Array, affinities: Affinities | StoredAffinities, linkage: Linkage) -> MergeTree:
    return agglomerate(graph_of(pieces, _stored(affinities), histograms=linkage == "median"), linkage)


def _stored(affinities: Affinities | StoredAffinities) -> StoredAffinities:
    return affinities if isinstance(affinities, StoredAffinities) else StoredAffinities.of(affinities)
