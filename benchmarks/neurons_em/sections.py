"""Measures what the default preset gains over a start from scratch on thick sections; resumable.

    taskset -c 1 python benchmarks/neurons_em/sections.py --data ../shared/data --budget 5 4

DATA holds em_isbi2012_vnc/open, 50 x 4 x 4 nm. Sections 0-9 train, 10-19 tune the threshold, 20-29 test; what
trains without labels sees all grey values. Rows, network, fine-tuning and decoder are those of table.py, with
the steps of thick sections.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from table import (
    HERE,
    ROWS,
    open_run,
    parser_of,
    pretrained,
    steps_of,
    train_only,
    work_of,
    write_table,
)

from morula.core.config import override
from morula.core.files import write_json
from morula.core.types import Array, Voxel
from morula.data import load_volumes, read_labels
from morula.engine import Weights, hardware, launch, read_json
from morula.recipes import load_recipe
from morula.tasks import neurons

STEM = "em_isbi2012_vnc/open/isbi2012"
VOXEL = Voxel(z=50.0, y=4.0, x=4.0)
TRAIN, VALIDATION, TEST = slice(0, 10), slice(10, 20), slice(20, 30)
SHARES = (10, 100)


@dataclass(frozen=True, eq=False)
class Isbi:
    """Grey values and true neurites, each `(z, y, x)`."""

    image: Array
    labels: Array


def main() -> None:
    """Fills in what is missing, then writes the page that it shares with table.py."""
    options = _options()
    (record,), _ = load_volumes(Path(f"{options.data / STEM}_raw.tif"), voxel=VOXEL)
    volume = Isbi(neurons.grey(record.image), read_labels(f"{options.data / STEM}_neurites.tif"))
    for seed in options.seeds:
        for row in options.rows:
            measure(row, seed, volume, options)
    write_table(options.results.parent / "results")


def measure(row: str, seed: int, volume: Isbi, options: argparse.Namespace) -> None:
    """Trains without labels once, then fine-tunes and scores with each share whose result is not there."""
    missing = [share for share in SHARES if not _result(options, row, share, seed).exists()]
    if not missing:
        return
    shared: Any = load_recipe("mscon").presets()["best"]
    fabric = launch(options.device, shared.precision)
    whole = problem_of(shared.network, volume, 100)
    encoder, before = pretrained(row, seed, whole, fabric, options) if ROWS[row].recipe else (None, 0)
    after = steps_of(
        "finetune", lambda run, count: train_only(run, whole, shared.finetune, count),
        options.budget[1], fabric, options,
    )  # fmt: skip

    def keep(share: int, steps: list[int], scores: dict[str, Any]) -> None:
        found = {"row": row, "share": share, "seed": seed, "minutes": options.budget, "steps": steps}
        write_json(_result(options, row, share, seed), found | {"hardware": hardware(fabric.device)} | scores)
        print(row, share, seed, steps, scores, flush=True)

    if encoder is not None and ROWS[row].segments:
        keep(0, [before, 0], judged_without_labels(encoder, whole, shared.decode, volume, fabric))
    for share in missing:
        run = open_run(work_of(options) / f"{row}-{seed}-{share}", row, seed, fabric)
        settings = override(shared.finetune, {"steps": after})
        neurons.learn(run, problem_of(shared.network, volume, share), encoder, settings, shared.decode)
        taken = read_json(next(run.path.glob("*-tune")) / "done.json")["taken"]
        segmenter = neurons.load_segmenter(run.path / "model", fabric)
        keep(share, [before, after], judged(segmenter, shared.decode, volume) | {"taken": taken})
        shutil.rmtree(run.path)


def problem_of(network: neurons.Network, volume: Isbi, share: int) -> neurons.Problem:
    """The volume with the middle of the training sections labelled; the same validation part for all."""
    isotropic = neurons.is_isotropic(network, VOXEL)
    train = neurons.Part(box(TRAIN, volume, share), volume.labels[box(TRAIN, volume, share)])
    kept = neurons.Part(box(VALIDATION, volume), neurons.parted(volume.labels[VALIDATION]))
    block = neurons.Block(volume.image, train, kept)
    return neurons.Problem(
        "isbi2012", block, isotropic, neurons.offsets_of(network, isotropic=isotropic), network
    )


def box(sections: slice, volume: Isbi, share: int = 100) -> tuple[slice, ...]:
    """The middle of these sections, with this percent of their area."""
    sides = [(length, round(length * (share / 100) ** 0.5)) for length in volume.image.shape[1:]]
    return sections, *(slice((length - side) // 2, (length - side) // 2 + side) for length, side in sides)


def judged(segmenter: neurons.Segmenter, decode: neurons.Decode, volume: Isbi) -> dict[str, Any]:
    """Scores of the test part at the segmenter's threshold, and at the best of each part."""
    validation, test = (_curve(segmenter, decode, volume, part) for part in (VALIDATION, TEST))
    tuned = segmenter.decoder.threshold
    at = min(test, key=lambda row: abs(row["threshold"] - tuned))
    return {"validation": neurons.lowest(validation), "test": at, "oracle": neurons.lowest(test)}


def judged_without_labels(
    weights: Weights, problem: neurons.Problem, decode: neurons.Decode, volume: Isbi, fabric: Any
) -> dict[str, Any]:
    """The same of a network that no label has taught, at the threshold that no label has tuned."""
    decoder = neurons.untuned(decode, isotropic=False)
    segmenter = neurons.segmenter_of(weights, problem.network, decoder, decode, fabric, isotropic=False)
    return judged(segmenter, decode, volume)


def _curve(
    segmenter: neurons.Segmenter, decode: neurons.Decode, volume: Isbi, part: slice
) -> list[dict[str, float]]:
    maps = segmenter.within(volume.image, box(part, volume))
    return neurons.tune(segmenter.decoder, maps, neurons.parted(volume.labels[part]), decode.thresholds)[1]


def _result(options: argparse.Namespace, row: str, share: int, seed: int) -> Path:
    return options.results / f"{row}-{share}-{seed}.json"


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, work="runs/benchmarks-sections", results=HERE / "sections")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["scratch", "best"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args()


if __name__ == "__main__":
    main()
