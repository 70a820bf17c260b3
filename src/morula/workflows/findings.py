"""What a run found in each image, as it stands on disk."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Volume
from morula.workflows.train import reopened

__all__ = ["Finding", "read_findings"]


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
    def rows(self) -> list[dict[str, str]]:
        """Its objects, as `objects.csv` has them."""
        with (self.folder / "objects.csv").open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def column(self, name: str) -> Array:
        """`(objects,)` one number of each."""
        return np.array([float(row[name]) for row in self.rows])

    @property
    def confidence(self) -> float:
        """The mean over its objects, 0 where there are none."""
        return float(self.column("score").mean()) if self.rows else 0.0

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
