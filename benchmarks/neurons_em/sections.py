"""Measures what the default preset gains over a start from scratch on thick sections; resumable.

    python benchmarks/neurons_em/sections.py --data DATA --budget 5 4

DATA holds em_isbi2012_vnc/open, 50 x 4 x 4 nm. Sections 0-9 train, 10-19 tune the threshold, 20-29 test; what
trains without labels sees all grey values. Rows, network, fine-tuning and decoder are those of table.py, with
the steps of thick sections.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fib25 import problem_of, untuned_segmenter
from table import HERE, ROWS, measure, parser_of, write_table

from morula.core.types import Array, Voxel
from morula.data import load_volumes, read_labels
from morula.engine import Weights, read_json
from morula.tasks import neurons

STEM = "em_isbi2012_vnc/open/isbi2012"
VOXEL = Voxel(z=50.0, y=4.0, x=4.0)
TRAIN, VALIDATION, TEST = slice(0, 10), slice(10, 20), slice(20, 30)


@dataclass(frozen=True, eq=False)
class Isbi:
    """Grey values and true neurites, each `(z, y, x)`."""

    image: Array
    labels: Array

    def problem(self, network: neurons.Network, share: int) -> neurons.Problem:
        """The volume with the middle of the training sections labelled; the same validation part for all."""
        small = self.box(TRAIN, share)
        train = neurons.Part(small, self.labels[small])
        kept = neurons.Part(self.box(VALIDATION), neurons.parted(self.labels[VALIDATION]))
        return problem_of("isbi2012", neurons.Block(self.image, train, kept), VOXEL, network)

    def judged(self, run: Path, decode: neurons.Decode, fabric: Any) -> dict[str, Any]:
        """Scores of the test part at the threshold of the validation part, and at the best one."""
        tuned = read_json(next(run.glob("*-tune")) / "done.json")
        segmenter = neurons.load_segmenter(run / "model", fabric)
        found = self._scored(segmenter, decode)
        return found | {"validation": neurons.lowest(tuned["curve"]), "taken": tuned["taken"]}

    def judged_without_labels(
        self, weights: Weights, problem: neurons.Problem, decode: neurons.Decode, fabric: Any
    ) -> dict[str, Any]:
        """Scores of a network that no label has taught, at the threshold that no label has tuned."""
        return self._scored(untuned_segmenter(weights, problem, decode, fabric), decode)

    def box(self, sections: slice, share: int = 100) -> tuple[slice, ...]:
        """The middle of these sections, with this percent of their area."""
        sides = [(length, round(length * (share / 100) ** 0.5)) for length in self.image.shape[1:]]
        return sections, *(slice((length - side) // 2, (length - side) // 2 + side) for length, side in sides)

    def _scored(self, segmenter: neurons.Segmenter, decode: neurons.Decode) -> dict[str, Any]:
        maps, truth = segmenter.within(self.image, self.box(TEST)), neurons.parted(self.labels[TEST])
        _, curve = neurons.tune(segmenter.decoder, maps, truth, decode.thresholds)
        at = min(curve, key=lambda row: abs(row["threshold"] - segmenter.decoder.threshold))
        return {"test": at, "oracle": neurons.lowest(curve)}


def main() -> None:
    """Fills in what is missing, then writes the page that it shares with table.py."""
    options = _options()
    (record,), _ = load_volumes(Path(f"{options.data / STEM}_raw.tif"), voxel=VOXEL)
    volume = Isbi(neurons.grey(record.image), read_labels(f"{options.data / STEM}_neurites.tif"))
    for seed in options.seeds:
        for row in options.rows:
            measure(row, seed, volume, options)
    write_table(options.results.parent / "results")


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, work="runs/benchmarks-sections", results=HERE / "sections")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["scratch", "best"])
    parser.add_argument("--shares", nargs="+", type=int, default=[10, 100], help="percent of the labels")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args()


if __name__ == "__main__":
    main()
