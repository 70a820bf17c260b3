"""A plain folder between programs that cannot share an environment: images and labels in, objects out.

    train/images/<id>.tif  train/labels/<id>.tif  test/images/<id>.tif       for the program
    found/<id>.tif  found/scores.json  found/times.json                      from it

Only numpy and tifffile are needed, which every program here has.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

__all__ = ["Exchange", "asked", "within"]


@dataclass(frozen=True)
class Exchange:
    """The folder."""

    path: Path

    def give(self, part: str, name: str, image: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Writes an image `(y, x, c)` of part `train` or `test`, and labels to learn from."""
        for folder, array in (("images", image), ("labels", labels)):
            if array is not None:
                path = self.path / part / folder / f"{name}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, array)

    def train(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Images `(y, x, c)` with their labels `(y, x)`."""
        labels = sorted((self.path / "train" / "labels").glob("*.tif"))
        pairs = ((tifffile.imread(path.parent.with_name("images") / path.name), path) for path in labels)
        return [(_colours(image), tifffile.imread(path)) for image, path in pairs]

    def test(self) -> dict[str, np.ndarray]:
        """Images `(y, x, c)` by id."""
        paths = sorted((self.path / "test" / "images").glob("*.tif"))
        return {path.stem: _colours(tifffile.imread(path)) for path in paths}

    def answer(
        self, labels: Mapping[str, np.ndarray], scores: Mapping[str, Any], times: Mapping[str, Any]
    ) -> None:
        """Writes the objects 1..N of each test image, the score of each, and what it took."""
        folder = self.path / "found"
        folder.mkdir(exist_ok=True)
        for name, found in labels.items():
            tifffile.imwrite(folder / f"{name}.tif", found.astype(np.int32))
        told = {name: [float(score) for score in each] for name, each in scores.items()}
        (folder / "scores.json").write_text(json.dumps(told), encoding="utf-8")
        (folder / "times.json").write_text(json.dumps(times), encoding="utf-8")

    def found(self) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, Any]]:
        """Labels and scores by id, and what it took."""
        folder = self.path / "found"
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        times = json.loads((folder / "times.json").read_text(encoding="utf-8"))
        objects = {
            name: (tifffile.imread(folder / f"{name}.tif"), np.array(each)) for name, each in scores.items()
        }
        return objects, times


def asked(description: str | None) -> argparse.Namespace:
    """What peers.py asks of a program: `folder`, `minutes`, `steps` and `seed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--steps", type=int, default=0, help="in place of those that the minutes hold")
    parser.add_argument("--seed", type=int, required=True)
    return parser.parse_args()


def within(minutes: float, train: Callable[[int], object]) -> int:
    """The steps that a budget holds: two short trainings tell a step apart from what is done once."""
    took: list[float] = []
    for count in (4, 12):
        began = time.process_time()
        train(count)
        took.append(time.process_time() - began)
    return max(10, round(minutes * 60 * 8 / max(took[1] - took[0], 1e-3)))


def _colours(image: np.ndarray) -> np.ndarray:
    return image[..., None] if image.ndim == 2 else image
