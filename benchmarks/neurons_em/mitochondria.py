"""Measures what pre-training on the raw volume gains for mitochondria with 5 % of the labels; resumable.

    python benchmarks/neurons_em/mitochondria.py --data DATA --budget 5 4

DATA holds em_vnc_sstem/open. Sections 0-9 have labels to learn from, 5 % of them by default: the box of all
ten sections with the most mitochondria, which is where a person with time for one box would label. Sections
10-19 test; pre-training sees all grey values and no label. The rows are those of table.py, with the same
network and fine-tuning: mitochondria are learned as neurons are, as objects whose voxels belong together. A
voxel is a mitochondrion where the mean of its nearest affinities is above one half; nothing is tuned.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fib25 import problem_of, untuned_segmenter
from numpy.lib.stride_tricks import sliding_window_view
from table import HERE, ROWS, measure, parser_of, write_table

from morula.core.types import Array, Voxel
from morula.data import load_volumes, read_labels
from morula.engine import Weights
from morula.metrics import semantic_scores
from morula.post import boundary
from morula.tasks import neurons

STEM = "em_vnc_sstem/open/vnc_stack1"
VOXEL = Voxel(z=45.0, y=4.6, x=4.6)
TRAIN, TEST = slice(0, 10), slice(10, 20)
_STEP = 8  # pixels between the boxes that are looked at


@dataclass(frozen=True, eq=False)
class Vnc:
    """Grey values and numbered mitochondria, each `(z, y, x)`."""

    image: Array
    labels: Array

    def problem(self, network: neurons.Network, share: int) -> neurons.Problem:
        """The volume with this percent of the training sections labelled."""
        box = fullest(self.labels[TRAIN], share / 100)
        part = neurons.Part(box, self.labels[box])
        return problem_of("vnc", neurons.Block(self.image, part, part), VOXEL, network)

    def judged(self, run: Path, decode: neurons.Decode, fabric: Any) -> dict[str, Any]:
        """Scores of the sections that test."""
        del decode
        return self._scored(neurons.load_segmenter(run / "model", fabric))

    def judged_without_labels(
        self, weights: Weights, problem: neurons.Problem, decode: neurons.Decode, fabric: Any
    ) -> dict[str, Any]:
        """The same for a network that no mitochondrion has taught."""
        return self._scored(untuned_segmenter(weights, problem, decode, fabric))

    def _scored(self, segmenter: neurons.Segmenter) -> dict[str, Any]:
        whole = tuple(slice(0, length) for length in self.image.shape[1:])
        maps = segmenter.within(self.image, (TEST, *whole))
        inside = 1 - boundary(maps, per_section=segmenter.decoder.fragments == "sections")
        return {"test": semantic_scores(inside > 0.5, self.labels[TEST] > 0)}


def main() -> None:
    """Fills in what is missing, then writes the page that it shares with table.py."""
    options = _options()
    (record,), _ = load_volumes(Path(f"{options.data / STEM}_raw.tif"), voxel=VOXEL)
    labels = read_labels(f"{options.data / STEM}_mito_instances_cc.tif")
    volume = Vnc(neurons.grey(record.image), labels)
    for seed in options.seeds:
        for row in options.rows:
            measure(row, seed, volume, options)
    write_table(options.results.parent / "results")


def fullest(labels: Array, share: float) -> tuple[slice, ...]:
    """The box of all sections, with this share of the voxels, in which the most objects are.

    An object counts by the part of it that is inside.
    """
    size = tuple(round(length * share**0.5) for length in labels.shape[1:])
    part = 1 / np.maximum(np.bincount(labels.ravel()), 1)
    part[0] = 0
    objects = sliding_window_view(part[labels].sum(axis=0), size)[::_STEP, ::_STEP].sum(axis=(2, 3))
    y, x = np.unravel_index(int(objects.argmax()), objects.shape)
    corner = (int(y) * _STEP, int(x) * _STEP)
    return TRAIN, *(slice(at, at + length) for at, length in zip(corner, size, strict=True))


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, work="runs/benchmarks-mitochondria", results=HERE / "mitochondria")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["scratch", "infonce"])
    parser.add_argument("--shares", nargs="+", type=int, default=[5], help="percent of the labels")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args()


if __name__ == "__main__":
    main()
