"""What is known about a public data set before it is downloaded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Morphology", "PublicSet", "SetFile"]


@dataclass(frozen=True)
class SetFile:
    """One file of a set.

    Attributes:
        url: where it is published.
        sha256: its published checksum, None where there is none.
        filename: the name it is kept under.
    """

    url: str
    sha256: str | None
    filename: str

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked after the download."""
        return self.filename.endswith((".zip", ".tar", ".tar.gz", ".tgz"))

    @property
    def folder(self) -> str:
        """The folder that it is unpacked into, so that archives without a top folder do not mix."""
        return self.filename.split(".", 1)[0] if self.is_archive else ""


@dataclass(frozen=True)
class Morphology:
    """What was published about the shape of the objects of a split, to check a loader with.

    Attributes:
        split: whose labels were measured.
        area_ratio: mean over cross-sections of area over the area of their section.
        solidity: mean over cross-sections of area over convex area, None where it is not known.
        tolerance: largest relative difference that is none.
        growth: of the tissue from section to section, where only what is not black counts as a section's
            area; None where all of it counts.
    """

    split: str
    area_ratio: float
    solidity: float | None = None
    tolerance: float = 1e-6
    growth: float | None = None


@dataclass(frozen=True)
class PublicSet:
    """A public data set.

    Attributes:
        name: what the command line calls it.
        title: what the authors call it.
        files: what is downloaded.
        licence: as the authors state it.
        citation: the paper to cite.
        homepage: where the terms are.
        splits: names that `records` understands.
        notes: what a user should know.
        morphology: what its labels must measure.
    """

    name: str
    title: str
    files: tuple[SetFile, ...]
    licence: str
    citation: str
    homepage: str
    splits: tuple[str, ...]
    notes: str
    morphology: tuple[Morphology, ...] = ()
