"""From affinities in a file to neurons in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from morula.core.affinities import LONG_RANGE, MUTEX, NEAREST, Offset, Polarity
from morula.core.errors import UsageError
from morula.data import write_labels
from morula.data.affinities import read_affinities
from morula.post import Linkage, fragments, region_graph, relabel
from morula.post import agglomerate as join

__all__ = ["OFFSETS", "Agglomerated", "OffsetSet", "agglomerate"]

OffsetSet = Literal["nearest", "long-range", "mutex"]

OFFSETS: dict[OffsetSet, tuple[Offset, ...]] = {"nearest": NEAREST, "long-range": LONG_RANGE, "mutex": MUTEX}
"""The sets of offsets that have a name."""


@dataclass(frozen=True)
class Agglomerated:
    """What an agglomeration left on disk.

    Attributes:
        out: the labels.
        fragments: number of pieces before any were joined.
        neurons: number of them afterwards.
    """

    out: Path
    fragments: int
    neurons: int

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"out": str(self.out), "fragments": self.fragments, "neurons": self.neurons}


def agglomerate(
    affinities: str | Path,
    *,
    out: str | Path,
    threshold: float = 0.5,
    linkage: Linkage = "mean",
    sections: bool = False,
    offsets: OffsetSet | None = None,
    polarity: Polarity | None = None,
    overwrite: bool = False,
) -> Agglomerated:
    """Floods fragments and joins them while one minus the affinity between two is below the threshold.

    Args:
        affinities: an HDF5 data set `(c, z, y, x)` (see `morula.data.affinities.read_affinities`).
        out: TIFF for the labels.
        threshold: in [0, 1]; higher joins more.
        linkage: what of a contact counts.
        sections: flood each section by itself, where sections are thick.
        offsets: name of the channels' offsets, where the file does not tell them.
        polarity: what 1 means, where the file does not tell.
        overwrite: replace earlier labels.

    Raises:
        DataError: the affinities cannot be used.
        UsageError: a threshold outside [0, 1], or labels that are there already.
    """
    out = Path(out)
    if not 0 <= threshold <= 1:
        raise UsageError("--threshold", f"{threshold:g} is no affinity", "give a number from 0 to 1")
    if out.exists() and not overwrite:
        raise UsageError(out, "the file exists", "choose another --out, or add --overwrite")
    given = read_affinities(
        Path(affinities), offsets=None if offsets is None else OFFSETS[offsets], polarity=polarity
    )
    pieces = fragments(given, per_section=sections)
    graph = region_graph(pieces, given, histograms=linkage == "median")
    labels = relabel(pieces, join(graph, linkage).cut(threshold))
    write_labels(out, labels)
    return Agglomerated(out, int(pieces.max()), int(labels.max()))
