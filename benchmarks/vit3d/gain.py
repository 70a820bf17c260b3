"""What natural-image weights gain over the same network from scratch, by labels, steps, noise and freezing.

    python benchmarks/vit3d/gain.py --data DATA --seeds 0 1 2

DATA holds lm_diadem_op/open and pretrained_squeezenet11/open. Two stacks are left out, others for each seed,
so that three seeds test all six; what is learned from are the other four, the first of them, or the quarter
of it that holds most of its trace. Both networks see the same crops in the same order. Noise is added to the
files of all stacks, those that are scored too. A training is one JSON file, seed after seed, so that a
stopped run goes on; `gain.md` is written from these.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from table import PRETRAINED, VOXEL, Fold, folds, open_run, scores_of, spread

from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.core.rng import Rng
from morula.core.types import Record
from morula.data import load_traced, write_swc
from morula.engine import hardware, launch, read_json
from morula.recipes import load_recipe

HERE = Path(__file__).parent
ARMS = ("scratch", "center")
MEASURES = (
    ("root given", "moved_f1_4", "F1 at 4, root given, traces moved to where their stack is brightest"),
    ("root found", "moved_f1_4", "F1 at 4, root found, traces moved likewise"),
    ("root given", "f1_4", "F1 at 4, root given, traces as they came"),
    ("root found", "f1_4", "F1 at 4, root found, traces as they came"),
    ("root given", "dice", "Dice, root given"),
    ("root given", "cldice", "clDice, root given"),
)
NOISE = 0.05
"""Standard deviation of the added noise, as a part of the brightest grey value."""


@dataclass(frozen=True)
class Point:
    """One setting that both networks train in."""

    name: str
    labels: str = "all"
    steps: int = 200
    noisy: bool = False
    frozen: bool = False


POINTS = (
    Point("50 steps", steps=50),
    Point("100 steps", steps=100),
    Point("200 steps"),
    Point("400 steps", steps=400),
    Point("one stack", labels="one"),
    Point("a quarter of a stack", labels="quarter"),
    Point("noisy stacks", noisy=True),
    Point("encoder frozen", frozen=True),
)


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    stacks = options.data / "lm_diadem_op/open"
    clean, _ = load_traced(stacks, stacks, suffix="_gold", voxel=VOXEL)
    noisy = noised(clean, options.work / "noisy")
    for seed in options.seeds:
        for point in POINTS:
            pairs = folds("center", noisy if point.noisy else clean, [4])
            for arm in ARMS:
                measure(point, arm, pairs[seed % len(pairs)], seed, options)
    write_text(HERE / "gain.md", table(options.results))


def measure(point: Point, arm: str, fold: Fold, seed: int, options: argparse.Namespace) -> None:
    """Trains one network and scores it on the stacks that were left out, unless that was done."""
    path = options.results / f"{fold.name}-{point.name.replace(' ', '-')}-{arm}-{seed}.json"
    if path.exists():
        return
    module: Any = load_recipe("vit3d")
    fabric = launch(options.device)
    weights = {**PRETRAINED, "weights": str(options.data / PRETRAINED["weights"])} if arm == "center" else {}
    config = override(module.presets()["fast"], {**weights, "steps": point.steps, "frozen": point.frozen})
    train = labelled(fold.train, point.labels, options.work)
    run = open_run(options.work / path.stem, seed, fabric, config, train)
    module.train(run, train, config)
    predictor = module.load(run.path, fabric)
    stacks = scores_of(fold.test, lambda each: predictor.likely(each.image))
    shutil.rmtree(run.path)
    told = {"point": point.name, "arm": arm, "seed": seed, "hardware": hardware(fabric.device)}
    write_json(path, {**told, "stacks": stacks})
    write_text(HERE / "gain.md", table(options.results))
    print(path.stem, {stack: told["root given"]["f1_4"] for stack, told in stacks.items()}, flush=True)


def labelled(stacks: Sequence[Record], labels: str, work: Path) -> Sequence[Record]:
    """What is learned from: all stacks that are not left out, the first of them, or a quarter of that."""
    if labels == "all":
        return stacks
    return stacks[:1] if labels == "one" else [quarter(stacks[0], work / f"quarter-{stacks[0].id}")]


def quarter(record: Record, folder: Path) -> Record:
    """The quarter along y and x that holds most of the trace, as files of its own."""
    assert record.trace is not None
    image, tree = record.image.read(), record.trace()
    middle = np.array(image.shape[1:]) // 2
    side = (tree.sampled()[:, 1:] >= middle).astype(int)
    most = np.bincount(2 * side[:, 0] + side[:, 1]).argmax()
    corner = np.array([0, most // 2 * middle[0], most % 2 * middle[1]])
    inside = np.all(
        (tree.points >= corner) & (tree.points < corner + np.array([len(image), *middle])), axis=1
    )
    part = image[:, corner[1] : corner[1] + middle[0], corner[2] : corner[2] + middle[1]]
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / f"{record.id}.tif", part)
    write_swc(folder / f"{record.id}.swc", tree.kept(inside).moved(-corner))
    return load_traced(folder, folder, voxel=VOXEL)[0][0]


def noised(records: Sequence[Record], folder: Path) -> list[Record]:
    """All stacks with the same noise in every run, as files of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, record in enumerate(records):
        assert record.trace is not None
        image = record.image.read().astype(np.float32)
        noise = Rng(0, "noise").at(number).normal(0, NOISE * image.max(), image.shape)
        tifffile.imwrite(folder / f"{record.id}.tif", np.clip(image + noise, 0, 255).astype(np.uint8))
        write_swc(folder / f"{record.id}.swc", record.trace())
    return load_traced(folder, folder, voxel=VOXEL)[0]


def table(results: Path) -> str:
    """gain.md: both networks in every setting, and the gain of one stack at a time."""
    found = [read_json(path) for path in sorted(results.glob("*.json"))]
    stacks = sorted({stack for each in found for stack in each["stacks"]})
    lines = [
        "# What natural-image weights gain\n",
        f"Made by `gain.py`; scored on {', '.join(stacks)}, each left out with one seed. Mean and standard",
        "deviation over stacks; the gain is that of `center` over `scratch`, stack by stack, and `ahead` the",
        "stacks where there is one. Four traced stacks, 200 steps, unless said. [README.md](README.md) says",
        "what follows from it.",
    ]
    for root, name, title in MEASURES:
        lines += [
            f"\n## {title}\n",
            "| setting | stacks | scratch | center | gain | median gain | ahead |",
            "|---|---|---|---|---|---|---|",
        ]
        for point in POINTS:
            arms = [
                {
                    (stack, each["seed"]): told[root][name]
                    for each in found
                    if (each["point"], each["arm"]) == (point.name, arm)
                    for stack, told in each["stacks"].items()
                }
                for arm in ARMS
            ]
            pairs = sorted(arms[0].keys() & arms[1].keys())
            if pairs:
                scratch, center = (np.array([arm[pair] for pair in pairs]) for arm in arms)
                gain = center - scratch
                cells = [spread(scratch), spread(center)]
                cells += [f"{gain.mean():+.3f} ± {gain.std():.3f}", f"{np.median(gain):+.3f}"]
                told = [point.name, len(pairs), *cells, int((gain > 0).sum())]
                lines.append(f"| {' | '.join(map(str, told))} |")
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=HERE / "gain")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
