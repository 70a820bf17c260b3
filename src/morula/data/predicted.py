"""A prediction on disk: what it holds, what it was made with, and whether somebody changed it since."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from morula.core.files import write_json
from morula.core.hashing import file_sha256, fingerprint
from morula.core.types import Segmentation
from morula.data.labels import predicted_labels, read_labels
from morula.data.swc import read_swc
from morula.data.traces import IN_VOXELS

__all__ = ["MADE", "TABLE", "made_with", "mark_made", "read_prediction"]

MADE, TABLE = "made.json", "objects.csv"


def mark_made(folder: Path, made: str) -> None:
    """Notes in the folder of a prediction, when all else is there, what it was made with.

    Args:
        folder: of the prediction.
        made: a fingerprint of all that the prediction follows from.
    """
    write_json(folder / MADE, {"made": made, "files": _content(folder)})


def made_with(folder: Path) -> str | None:
    """What `mark_made` was told; None where nothing was noted, or a file was changed since."""
    try:
        noted = json.loads((folder / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return noted["made"] if noted["files"] == _content(folder) else None


def read_prediction(folder: Path) -> Segmentation:
    """The objects that `write_prediction` wrote; scores are rounded to six decimals, and maps are not kept.

    Raises:
        DataError: the labels cannot be read.
    """
    with (folder / TABLE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    trace = folder / IN_VOXELS
    return Segmentation(
        read_labels(predicted_labels(folder)),
        np.array([float(row["score"]) for row in rows]),
        tuple(row["class"] for row in rows),
        tree=read_swc(trace, empty=True).tree if trace.exists() else None,
    )


def _content(folder: Path) -> str:
    files = (file for file in sorted(folder.rglob("[!.]*")) if file.is_file() and file.name != MADE)
    return fingerprint([[file.relative_to(folder).as_posix(), file_sha256(file)] for file in files])
