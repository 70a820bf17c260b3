"""Which images to label next: those the network is unsure of, and unlike what is labelled already."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from morula.core.files import atomic_path
from morula.core.types import Array
from morula.tasks.cells.front import Prepared

__all__ = ["Advice", "advise", "describe", "doubt", "write_advice"]

_SEEN = 0.05  # foreground probability above which a pixel has a say in the doubt
_NOTHING = 0.5  # doubt about an image in which nothing is found


class Advice(NamedTuple):
    """One row of the ranking: an image, how unsure the network is of it, and how unlike the labelled ones."""

    image: str
    doubt: float
    novelty: float


def doubt(foreground: Array) -> float:
    """How undecided a foreground probability `(y, x)` is where it sees something: 0 sure, 1 at a loss.

    >>> doubt(np.array([[0.0, 1.0, 0.5]]))
    0.5
    """
    seen = foreground[foreground > _SEEN]
    return float(1 - np.abs(2 * seen.astype(np.float64) - 1).mean()) if len(seen) else _NOTHING


def describe(image: Prepared) -> Array:
    """What an image looks like, as `(d,)`: size of its objects, levels of its density, colours, contrast."""
    levels = np.percentile(image.density, [10, 25, 50, 75, 90])
    slope = np.abs(np.diff(image.density, axis=0)).mean() + np.abs(np.diff(image.density, axis=1)).mean()
    colour = image.colour.reshape(-1, 3)
    return np.concatenate(
        [[np.log(image.diameter), slope], levels, colour.mean(axis=0), colour.std(axis=0)]
    ).astype(np.float64)


def advise(doubts: Mapping[str, float], looks: Mapping[str, Array], labelled: Sequence[str]) -> list[Advice]:
    """Images without labels, the most useful first.

    One after the other: the largest doubt times distance to the nearest image that is labelled or was chosen
    before, in units of the set's spread. So no two of one kind follow each other while another kind waits.

    Args:
        doubts: of each image without labels.
        looks: `describe` of these and of the labelled images.
        labelled: names of the labelled images, at least one.

    Source: the greedy choice of Sener and Savarese, "Active learning for convolutional neural networks: a
    core-set approach", ICLR 2018, weighted by the doubt.
    """
    table = np.stack([looks[name] for name in looks])
    spread = np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
    place = {name: looks[name] / spread for name in looks}
    names = sorted(doubts)
    away = np.array([min(np.linalg.norm(place[name] - place[each]) for each in labelled) for name in names])
    weight, left = np.array([doubts[name] for name in names]), list(range(len(names)))
    ranking: list[Advice] = []
    while left:
        best = max(left, key=lambda row: (weight[row] * away[row], weight[row]))
        ranking.append(Advice(names[best], float(weight[best]), float(away[best])))
        left.remove(best)
        for row in left:
            away[row] = min(away[row], float(np.linalg.norm(place[names[row]] - place[names[best]])))
    return ranking


def write_advice(path: Path, ranking: Sequence[Advice]) -> None:
    """Writes the ranking as CSV: rank, image, doubt, novelty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("rank", "image", "doubt", "novelty"))
        writer.writerows(
            (rank, each.image, round(each.doubt, 4), round(each.novelty, 4))
            for rank, each in enumerate(ranking, start=1)
        )
