"""Measures recipe vit3d on stacks that it did not learn from, with 1 and 4 traced stacks; resumable.

    python benchmarks/vit3d/table.py --data DATA --budget 3 --seeds 0 1 2

DATA holds lm_diadem_op/open and pretrained_squeezenet11/open. Every stack is left out in turn, two at a time:
one network learns from the other four; another from the first of the two alone, and the other five test it.
All rows train for the same time, `best` for --best minutes: the seconds of a step are measured first, on a
CPU as time of the process, so that others on the machine change nothing. Distances are in pixel widths (a
section is 3.03 deep), but for F1 in voxels, and to the trace as it came, but for `moved_f1_4`: there it is
moved to where the stack is brightest, as the ones to learn from are. README.md is written from the results.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.core.types import Array, Record, Segmentation, Voxel
from morula.data import align, draw_tree, load_traced
from morula.engine import Run, hardware, launch, read_json, steps_within, stopwatch
from morula.metrics import centreline_dice, dice, tolerance_scores
from morula.recipes import load_recipe
from morula.recipes.vit3d.predict import found_neuron
from morula.recipes.vit3d.recipe import tracing_of
from morula.recipes.vit3d.threshold import thresholded
from morula.workflows.tracing import tree_scores
from morula.workflows.train import describe

HERE = Path(__file__).parent
VOXEL = Voxel(z=3030.0, y=1000.0, x=1000.0)
"""The ratio is known, the size is not."""

WEIGHTS = "pretrained_squeezenet11/open/squeezenet1_1_features_oihw.npz"
PRETRAINED: Mapping[str, Any] = {"weights": WEIGHTS, "scaling": "caffe"}
ROWS: Mapping[str, tuple[str, Mapping[str, Any] | None]] = {
    "classical": ("background off, Otsu, the same tracer", None),
    "unet": ("plain 3D U-Net", {"network": "unet"}),
    "flat": ("without depth: every slice alone", {"depth": 1}),
    "vit": (
        "the published kind of network, small: ViT-Ti/16 on 5 slices, from scratch",
        {"network": "slice-vit", "vit": "vit_tiny_patch16_224", "depth": 5, "crop": (5, 96, 96), "lr": 1e-3},
    ),
    "scratch": ("inflated network, from scratch", {}),
    "average": ("natural-image weights, `average`", {**PRETRAINED, "inflation": "average"}),
    "center": ("natural-image weights, `center`", {**PRETRAINED, "inflation": "center"}),
    "best": (
        "**`best`** with natural-image weights, four views",
        {**PRETRAINED, "inflation": "center", "views": 4},
    ),
}
MEASURES = ("dice", "cldice", "f1_2", "f1_4", "moved_f1_4", "voxel_f1_2", "voxel_f1_4", "esa", "dsa", "pds")
ROOTS = ("found", "given")


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    records, _ = load_traced(options.stacks, options.stacks, suffix="_gold", voxel=VOXEL)
    if not options.only_table:
        for seed in options.seeds:
            for row in options.rows:
                for fold in folds(row, records, options.train):
                    measure(row, fold, seed, options)
    write_text(HERE / "README.md", table(options.results))


@dataclass(frozen=True)
class Fold:
    """What a network learns from, and what it is scored on."""

    train: Sequence[Record]
    test: Sequence[Record]

    @property
    def name(self) -> str:
        """By the stacks that are scored, or learned from where that is one."""
        return "-".join(each.id for each in (self.train if len(self.train) == 1 else self.test))


def folds(row: str, records: Sequence[Record], counts: Sequence[int]) -> list[Fold]:
    """Pairs of stacks are left out in turn; nothing learns in the classical row, so all stacks test it."""
    if row == "classical":
        return [Fold([], records)]
    pairs = [records[at : at + 2] for at in range(0, len(records), 2)]
    found: list[Fold] = []
    if 1 in counts:
        found += [Fold(pair[:1], [each for each in records if each is not pair[0]]) for pair in pairs]
    if 4 in counts:
        found += [Fold([each for each in records if each not in pair], pair) for pair in pairs]
    return found


def measure(row: str, fold: Fold, seed: int, options: argparse.Namespace) -> None:
    """Trains on some stacks and scores those that were left out, unless that was done."""
    minutes = options.best if row == "best" else options.budget
    spent = f"{options.steps}steps" if options.steps else f"{minutes:g}min"
    name = f"{row}-{len(fold.train)}-{fold.name}-{spent}-{seed}" if fold.train else row
    path = options.results / f"{name}.json"
    if path.exists():
        return
    module: Any = load_recipe("vit3d")
    fabric = launch(options.device)
    changes = dict(ROWS[row][1] or {})
    if "weights" in changes:
        changes["weights"] = str(options.data / changes["weights"])
    config = override(module.presets()["fast"], changes)
    steps = 0
    if fold.train:
        kept = options.work / f"{row}-{minutes:g}min"
        steps = options.steps or within_budget(module, config, fold.train, kept, fabric, minutes)
        config = override(config, {"steps": steps})
        run = open_run(options.work / name, seed, fabric, config, fold.train)
        module.train(run, fold.train, config)
        predictor = module.load(run.path, fabric)
        stacks = scores_of(fold.test, lambda each: predictor.likely(each.image))
    else:
        stacks = scores_of(fold.test, lambda each: thresholded(each.image.read()))
    result = {
        "row": row,
        "train": [each.id for each in fold.train],
        "seed": seed,
        "minutes": None if options.steps or not fold.train else minutes,
        "steps": steps,
        "hardware": hardware(fabric.device),
        "stacks": stacks,
    }
    write_json(path, result)
    write_text(HERE / "README.md", table(options.results))
    for stack, told in stacks.items():
        print(name, stack, told, flush=True)


Scores = dict[str, dict[str, dict[str, float]]]
"""By stack, then by the way to the root, then by name."""


def scores_of(test: Sequence[Record], likely: Callable[[Record], Array]) -> Scores:
    """How well the trees in each stack's probability map or mask fit."""
    return {
        each.id: {f"root {root}": scored(found, each) for root, found in traced(likely(each), each).items()}
        for each in test
    }


def traced(likely: Array, record: Record) -> dict[str, Segmentation]:
    """What is found in a probability map or a mask without a root, and with the true one."""
    assert record.trace is not None
    tree, tracing = record.trace(), tracing_of(record.image)
    begin = np.clip(tree.points[tree.roots[0]], 0, np.array(record.image.shape) - 1).tolist()
    return {
        root: found_neuron(likely, root=begin if root == "given" else None, tracing=tracing) for root in ROOTS
    }


def scored(found: Segmentation, record: Record) -> dict[str, float]:
    """Scores of the tree against the trace as it came and as it is bright, of the mask against the latter."""
    assert record.trace is not None and found.tree is not None
    tree, image = record.trace(), record.image.read()
    moved = tree.moved(align(tree, image).shift)
    truth = draw_tree(moved, image.shape, least=1.5, largest=3.0)
    mask: Array = found.labels > 0
    trees = tree_scores(found.tree, tree, record.image.voxel)
    trees["moved_f1_4"] = tree_scores(found.tree, moved, record.image.voxel)["f1_4"]
    cubes = {f"voxel_f1_{reach}": tolerance_scores(found.tree, tree, reach).f1 for reach in (2, 4)}
    return {"dice": dice(mask, truth), "cldice": centreline_dice(mask, truth), **trees, **cubes}


def within_budget(
    module: Any, config: Any, train: Sequence[Record], kept: Path, fabric: Any, minutes: float
) -> int:
    """The steps that a budget holds, which are kept: a row has the same for every stack and seed.

    They are measured again for another config, each time from the first step on.
    """
    path, told = kept.with_name(f"{kept.name}.json"), config.model_dump(mode="json")
    if path.exists() and read_json(path).get("config") == told:
        return int(read_json(path)["steps"])

    def trial(steps: int) -> None:
        folder, tried = kept.with_name(f"{kept.name}-trial-{steps}"), override(config, {"steps": steps})
        shutil.rmtree(folder, ignore_errors=True)
        module.train(open_run(folder, 0, fabric, tried, train), train, tried)
        shutil.rmtree(folder)

    steps = steps_within(minutes, trial, stopwatch(fabric.device))
    write_json(path, {"steps": steps, "config": told})
    return steps


def open_run(path: Path, seed: int, fabric: Any, config: Any, train: Sequence[Record]) -> Run:
    """A run without a plan, which goes on only with the config and the stacks that it began with."""
    data = {each.id: describe(each) for each in train}
    told = config.model_dump(mode="json")
    return Run.open(path, recipe="vit3d", config=told, data=data, seed=seed, fabric=fabric)


def table(results: Path) -> str:
    """README.md from all results but tries: a table for each way to the root, and one of the stacks."""
    every = [read_json(path) for path in sorted(results.glob("*.json"))]
    found = [each for each in every if each["minutes"] or not each["train"]]
    scores = [{**each, "stack": stack, **told} for each in found for stack, told in each["stacks"].items()]
    rows = [
        (begin(line, ours), ours)
        for row in ROWS
        for line in sorted({key(each) for each in found if each["row"] == row})
        for ours in [[each for each in scores if key(each) == line]]
    ]
    lines = [(HERE / "head.md").read_text(encoding="utf-8")]
    for root in ROOTS:
        lines += [f"\n## Root {root}\n", *header(MEASURES)]
        for title, ours in rows:
            cells = [spread([each[f"root {root}"][name] for each in ours]) for name in MEASURES]
            lines.append(f"{title} {' | '.join(cells)} |")
    stacks = sorted({each["stack"] for each in scores})
    lines += ["\n## F1 at 4 on each stack, root found / given\n", *header(stacks)]
    for title, ours in rows:
        cells = [f1([each for each in ours if each["stack"] == stack]) for stack in stacks]
        lines.append(f"{title} {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def key(result: Mapping[str, Any]) -> tuple[str, int, float]:
    """What makes a line of the table: the row, traced stacks, minutes of training, 0 where nothing learns."""
    return result["row"], len(result["train"]), result["minutes"] or 0


def begin(line: tuple[str, int, float], scores: Sequence[Mapping[str, Any]]) -> str:
    """The first cells of a line, with how many stacks test it and how many seeds."""
    row, count, minutes = line
    tested, seeds = (len({each[name] for each in scores}) for name in ("stack", "seed"))
    told = [count or "-", f"{minutes:g}" if minutes else "-", tested, seeds if count else "-"]
    return f"| {ROWS[row][0]} | {' | '.join(map(str, told))} |"


def header(columns: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    first = ("row", "traced stacks", "minutes", "test stacks", "seeds")
    return [f"| {' | '.join((*first, *columns))} |", "|---" * (len(first) + len(columns)) + "|"]


def f1(scores: Sequence[Mapping[str, Any]]) -> str:
    """F1 at 4 of one stack, for both ways to the root."""
    if not scores:
        return "-"
    return " / ".join(f"{np.mean([each[f'root {root}']['f1_4'] for each in scores]):.2f}" for root in ROOTS)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over stacks and seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=3.0, help="minutes of training")
    parser.add_argument("--best", type=float, default=10.0, help="minutes of training of `best`")
    parser.add_argument("--steps", type=int, help="in place of minutes: a try, not in the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--train", type=int, nargs="+", default=[1, 4], choices=[1, 4], help="traced stacks")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only-table", action="store_true")
    options = parser.parse_args()
    options.stacks = options.data / "lm_diadem_op/open"
    return options


if __name__ == "__main__":
    main()
