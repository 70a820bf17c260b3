"""Measures what pre-training on the raw volume gains for mitochondria with 5 % of the labels; resumable.

    taskset -c 1 python benchmarks/neurons_em/mitochondria.py --data ../shared/data --budget 5 4

DATA holds em_vnc_sstem/open. Sections 0-9 have labels to learn from, 5 % of them by default: a box of all ten
sections whose share of mitochondria is nearest to that of the whole half. Sections 10-19 test; pre-training
sees all grey values and no label. The rows are those of table.py, with the same network and fine-tuning:
mitochondria are learned as neurons are, as objects whose voxels belong together. A voxel is a mitochondrion
where the mean of its nearest affinities is above one half; nothing is tuned.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from fib25 import problem_of
from numpy.lib.stride_tricks import sliding_window_view
from table import HERE, ROWS, open_run, parser_of, pretrained, steps_of, train_only, work_of, write_table

from morula.core.config import override
from morula.core.files import write_json
from morula.core.types import Array, Voxel
from morula.data import load_volumes, read_labels
from morula.engine import hardware, launch
from morula.metrics import semantic_scores
from morula.post import boundary
from morula.recipes import load_recipe
from morula.tasks import neurons

STEM = "em_vnc_sstem/open/vnc_stack1"
VOXEL = Voxel(z=45.0, y=4.6, x=4.6)
TRAIN, TEST = slice(0, 10), slice(10, 20)
_STEP = 8  # pixels between the boxes that are looked at


def main() -> None:
    """Fills in what is missing, then writes the page that it shares with table.py."""
    options = _options()
    (record,), _ = load_volumes(Path(f"{options.data / STEM}_raw.tif"), voxel=VOXEL)
    image = neurons.grey(record.image)
    labels = read_labels(f"{options.data / STEM}_mito_instances_cc.tif")
    for seed in options.seeds:
        for row in options.rows:
            measure(row, seed, image, labels, options)
    write_table(options.results.parent / "results")


def measure(row: str, seed: int, image: Array, labels: Array, options: argparse.Namespace) -> None:
    """Pre-trains, fine-tunes and scores, unless that was done."""
    path = options.results / f"{row}-{options.share:g}-{seed}.json"
    if path.exists():
        return
    shared = load_recipe("mscon").presets()["best"]
    fabric = launch(options.device, shared.precision)
    box = typical(labels[TRAIN] > 0, options.share / 100)
    part = neurons.Part(box, labels[box])
    problem = problem_of("vnc", neurons.Block(image, part, part), VOXEL, shared.network)
    encoder, before = pretrained(row, seed, problem, fabric, options) if ROWS[row].recipe else (None, 0)
    after = steps_of(
        "finetune", lambda run, count: train_only(run, problem, shared.finetune, count),
        options.budget[1], fabric, options,
    )  # fmt: skip
    run = open_run(work_of(options) / f"{row}-{seed}", row, seed, fabric)
    neurons.learn(run, problem, encoder, override(shared.finetune, {"steps": after}), shared.decode)
    segmenter = neurons.load_segmenter(run.path / "model", fabric)
    maps = segmenter.within(image, (TEST, *(slice(0, length) for length in image.shape[1:])))
    inside = 1 - boundary(maps, per_section=not problem.isotropic)
    found = {
        "row": row,
        "share": options.share,
        "seed": seed,
        "minutes": options.budget,
        "steps": [before, after],
        "box": [[each.start, each.stop] for each in box],
        "hardware": hardware(fabric.device),
        "test": semantic_scores(inside > 0.5, labels[TEST] > 0),
    }
    write_json(path, found)
    print(row, seed, found["steps"], found["test"], flush=True)
    shutil.rmtree(run.path)


def typical(mask: Array, share: float) -> tuple[slice, ...]:
    """The box of all sections, with this share of the voxels, that has as much foreground as the whole."""
    size = tuple(round(length * share**0.5) for length in mask.shape[1:])
    whole = mask.mean(axis=0)
    means = sliding_window_view(whole, size)[::_STEP, ::_STEP].mean(axis=(2, 3))
    y, x = np.unravel_index(int(np.abs(means - whole.mean()).argmin()), means.shape)
    corner = (int(y) * _STEP, int(x) * _STEP)
    return TRAIN, *(slice(at, at + length) for at, length in zip(corner, size, strict=True))


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, work="runs/benchmarks-mitochondria", results=HERE / "mitochondria")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["scratch", "infonce"])
    parser.add_argument("--share", type=float, default=5.0, help="percent of the labels of the training half")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args()


if __name__ == "__main__":
    main()
