"""From affinities in a file to neurons in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from morula.core.affinities import (
    LONG_RANGE,
    LONG_RANGE_CUBES,
    MUTEX,
    MUTEX_CUBES,
    NEAREST,
    Affinities,
    Offset,
    Polarity,
)
from morula.core.errors import DataError, UsageError
from morula.core.types import Array
from morula.data import write_labels
from morula.data.affinities import channels_of, read_affinities, read_decoding
from morula.post import Linkage, fragments, multicut, mutex_watershed, region_graph, relabel
from morula.post import agglomerate as join

__all__ = ["OFFSETS", "Agglomerated", "Method", "OffsetSet", "agglomerate", "offsets_of"]

Method = Literal["agglomeration", "multicut", "mutex"]
"""How neurons are made: contacts of fragments one after the other or all at once, or voxels."""

OffsetSet = Literal["nearest", "long-range", "mutex"]

OFFSETS: dict[OffsetSet, dict[str, tuple[Offset, ...]]] = {
    "nearest": {"any voxels": NEAREST},
    "long-range": {"sections": LONG_RANGE, "cubes": LONG_RANGE_CUBES},
    "mutex": {"sections": MUTEX, "cubes": MUTEX_CUBES},
}
"""The sets of offsets that have a name, as runs learn them in thick sections and in cubes."""


@dataclass(frozen=True)
class Agglomerated:
    """What an agglomeration left on disk.

    Attributes:
        out: the labels.
        fragments: number of pieces before any were joined, None where voxels were.
        neurons: number of them afterwards.
        offsets: which set a name stood for, None where none was given.
    """

    out: Path
    fragments: int | None
    neurons: int
    offsets: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        numbers = {"fragments": self.fragments, "neurons": self.neurons}
        return {"out": str(self.out), **numbers, "offsets": self.offsets}

    def __str__(self) -> str:
        """In words."""
        of = "" if self.fragments is None else f" of {self.fragments} fragments"
        read = "" if self.offsets is None else f", the channels read as {self.offsets}"
        return f"{self.neurons} neurons{of}{read}: {self.out}"


def agglomerate(
    affinities: str | Path,
    *,
    out: str | Path,
    method: Method = "agglomeration",
    threshold: float | None = None,
    linkage: Linkage | None = None,
    sections: bool | None = None,
    offsets: OffsetSet | Sequence[Offset] | None = None,
    polarity: Polarity | None = None,
    overwrite: bool = False,
) -> Agglomerated:
    """Makes neurons of affinities.

    An agglomeration joins the fragments of a watershed, the best contact first, while one minus the affinity
    of a contact is below the threshold. A multicut weighs all contacts at once: below the threshold they
    hold together, above it they drive apart. A mutex watershed joins voxels, unless a longer offset forbids
    it. What the caller leaves open the file may say, as that of a run does, for that run's decoder.

    Args:
        affinities: an HDF5 data set `(c, z, y, x)` (see `morula.data.affinities.read_affinities`).
        out: TIFF for the labels, `.tif` or `.tiff`.
        method: which of these.
        threshold: in [0, 1]; higher joins more. By default the file's for an agglomeration, and 0.5 for a
            multicut or where the file is silent; a mutex watershed has none.
        linkage: what of a contact counts in an agglomeration, by default what the file says, or the mean.
        sections: flood each section by itself, where sections are thick; by default as the file says, or not.
        offsets: of the channels, where the file does not tell them: a list, or a name, of whose sets for
            thick sections and for cubes the one with as many offsets as there are channels is taken.
        polarity: what 1 means, where the file does not tell.
        overwrite: replace earlier labels.

    Raises:
        DataError: the affinities cannot be used, have no offset that a mutex watershed needs, or are to be
            decoded in a way that there is not.
        UsageError: a threshold outside [0, 1], an option that the method has no use for, another suffix than
            `.tif` and `.tiff`, offsets that are not those of the channels, or labels that are there already.
    """
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(out, "labels are written as TIFF alone", "let --out end with .tif or .tiff")
    _check(method, threshold, linkage, sections)
    if out.exists() and not overwrite:
        raise UsageError(out, "the file exists", "choose another --out, or add --overwrite")
    name, known = _named(Path(affinities), offsets) if isinstance(offsets, str) else (None, offsets)
    given = read_affinities(Path(affinities), offsets=known, polarity=polarity)
    if method == "mutex":
        if not set(given.offsets) - set(NEAREST):
            found = "the nearest offsets alone, but a mutex watershed needs longer ones"
            raise DataError(affinities, found, "give affinities that have some, or another --method")
        pieces, labels = None, mutex_watershed(given)
    else:
        told = _told(Path(affinities), method)
        per_section = told.sections if sections is None else sections
        pieces = fragments(given, per_section=per_section, smoothing=told.smoothing)
        at = told.threshold if threshold is None else threshold
        labels = _joined(pieces, given, method, at, linkage or told.linkage)
    write_labels(out, labels)
    return Agglomerated(out, None if pieces is None else int(pieces.max()), int(labels.max()), name)


def offsets_of(text: str) -> OffsetSet | tuple[Offset, ...]:
    """A name of `OFFSETS`, or offsets z, y, x with semicolons between them.

    Raises:
        UsageError: the text is something else.

    >>> offsets_of("-1 0 0; 0 -1 0"), offsets_of("mutex")
    (((-1, 0, 0), (0, -1, 0)), 'mutex')
    """
    for name in OFFSETS:
        if text == name:
            return name
    try:
        rows = [map(int, row.replace(",", " ").split()) for row in text.strip("; ").split(";")]
        return tuple((z, y, x) for z, y, x in rows)
    except ValueError as error:
        fix = f"give {', '.join(OFFSETS)}, or one offset for each channel: 'Z Y X; Z Y X; ...'"
        raise UsageError("--offsets", f"{text!r} is neither a name nor a list", fix) from error


def _named(path: Path, name: OffsetSet) -> tuple[str, tuple[Offset, ...]]:
    """The set of a name that has as many offsets as there are channels, with what it is called."""
    count = channels_of(path)
    for kind, known in OFFSETS[name].items():
        if len(known) == count:
            return f"{name} offsets of {kind}", known
    sets = " or ".join(f"{len(known)} offsets for {kind}" for kind, known in OFFSETS[name].items())
    found = f"{path} has {count} channels, but {name} means {sets}"
    raise UsageError("--offsets", found, "list one offset for each channel: 'Z Y X; Z Y X; ...'")


class _Told(NamedTuple):
    """What is done where no option says otherwise."""

    sections: bool
    smoothing: float
    threshold: float
    linkage: Linkage


def _told(path: Path, method: Method) -> _Told:
    """The file's decoding, or what is usual; a threshold tuned for one method says little of another.

    Raises:
        DataError: the file names fragments or a linkage that there is not.
    """
    kept: dict[str, Any] = {"fragments": "volume", "linkage": "mean", **read_decoding(path)}
    for name, known in (("fragments", ("sections", "volume")), ("linkage", get_args(Linkage))):
        if kept[name] not in known:
            found = f"attribute {name} holds {kept[name]!r}"
            raise DataError(path, found, f"store one of {', '.join(known)}, or take it out")
    threshold = kept.get("threshold", 0.5) if method == "agglomeration" else 0.5
    return _Told(kept["fragments"] == "sections", kept.get("smoothing", 2.0), threshold, kept["linkage"])


def _joined(
    pieces: Array, affinities: Affinities, method: Method, threshold: float, linkage: Linkage
) -> Array:
    graph = region_graph(pieces, affinities, histograms=linkage == "median")
    found = (
        multicut(graph, beta=1 - threshold) if method == "multicut" else join(graph, linkage).cut(threshold)
    )
    return relabel(pieces, found)


def _check(method: Method, threshold: float | None, linkage: Linkage | None, sections: bool | None) -> None:
    given = {"--linkage": linkage, "--threshold": threshold, "--sections": sections}
    unused = {"agglomeration": (), "multicut": ("--linkage",), "mutex": tuple(given)}[method]
    for name in unused:
        if given[name] is not None:
            raise UsageError(name, f"--method {method} has no use for it", "leave one of them out")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError("--threshold", f"{threshold:g} is no affinity", "give a number from 0 to 1")
    if method == "multicut" and threshold in (0, 1):
        found = f"at {threshold:g} a multicut has nothing to weigh"
        raise UsageError("--threshold", found, "give a number between 0 and 1")
