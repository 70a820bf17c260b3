"""What a run found in each image, as it stands on disk."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import intern

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Volume
from morula.workflows.train import reopened

__all__ = ["Finding", "Objects", "read_findings"]


@dataclass(frozen=True)
class Objects:
    """The n objects of an image.

    Attributes:
        classes: `(n,)` names.
        scores: `(n,)` confidences.
        areas: `(n,)` in the unit that the image has them in.
    """

    classes: tuple[str, ...]
    scores: Array
    areas: Array

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class Finding:
    """One predicted image as it stands on disk.

    Attributes:
        id: its name.
        image: None where it is no longer where it was.
        nm: edges of a pixel, z, y, x, where they are known.
        folder: of its prediction.
        truth: its scores, where it has labels.
    """

    id: str
    image: Volume | None
    nm: Sequence[float | None] | None
    folder: Path
    truth: Mapping[str, float] | None

    @cached_property
    def objects(self) -> Objects:
        """Its objects, as `objects.csv` has them."""
        classes: list[str] = []
        scores, areas = array("d"), array("d")
        with (self.folder / "objects.csv").open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                classes.append(intern(row["class"]))
                scores.append(float(row["score"]))
                areas.append(float(row["area"]))
        return Objects(tuple(classes), np.array(scores), np.array(areas))

    @cached_property
    def confidence(self) -> float:
        """The mean over its objects, 0 where there are none."""
        return float(self.objects.scores.mean()) if len(self.objects) else 0.0

    @property
    def rank(self) -> float:
        """What the image is shown with: its score, or its confidence where nothing was measured."""
        return self.truth[self.measure] if self.truth is not None else self.confidence

    @property
    def measure(self) -> str:
        """The score that counts most: of objects where it was taken, else of volumes."""
        if self.truth is None:
            return "aji"
        return next(key for key in ("aji", "iou", "voi", "f1_4") if key in self.truth)


def read_findings(run: Path) -> list[Finding]:
    """All images of a run, without those of a source.

    Args:
        run: the run's folder.

    Raises:
        DataError: an image has no prediction, or the folder is no run.
    """
    from morula.engine import read_json

    entries = read_json(run / "data.json")
    images = {name: entry for name, entry in entries.items() if entry["domain"] == "target"}
    missing = [name for name in images if not (run / "predictions" / name / "objects.csv").exists()]
    if missing:
        found = f"there is no prediction for {missing[0]}"
        raise DataError(run, found, "repeat the command that started the run; it goes on where it was")
    scores = {path.stem: read_json(path) for path in (run / "scores").glob("*.json")}
    stored = read_json(run / "plan.json")["facts"].get("axes") or "zyx"
    return [
        Finding(name, reopened(entry, stored), entry["nm"], run / "predictions" / name, scores.get(name))
        for name, entry in images.items()
    ]
