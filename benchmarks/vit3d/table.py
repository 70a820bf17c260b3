"""Measures recipe vit3d on stacks that it did not learn from, with 1 and 4 traced stacks; resumable.

    taskset -c 1 python benchmarks/vit3d/table.py --data ../shared/data --budget 3 --seeds 0 1 2

DATA holds lm_diadem_op/open and pretrained_squeezenet11/open. Every stack is left out in turn; the training
stacks are those that follow it by number. All rows train for the same time, `best` for --best minutes: the
seconds of a step are measured first, on a CPU as time of the process, so that others on the machine change
nothing. Distances are in pixel widths (a section is 3.03 deep), to the trace as it came. Each result is
one JSON file, and README.md is written from these files alone.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.core.types import Array, Record, Segmentation, Voxel
from morula.data import align, draw_tree, load_traced
from morula.engine import Run, launch, read_json
from morula.metrics import centreline_dice, dice
from morula.recipes import load_recipe
from morula.workflows.tracing import tree_scores

HERE = Path(__file__).parent
VOXEL = Voxel(z=3030.0, y=1000.0, x=1000.0)
"""The ratio is known, the size is not."""

WEIGHTS = "pretrained_squeezenet11/open/squeezenet1_1_features_oihw.npz"
PRETRAINED: Mapping[str, Any] = {"weights": WEIGHTS, "scaling": "caffe"}
ROWS: Mapping[str, tuple[str, Mapping[str, Any] | None]] = {
    "classical": ("background off, Otsu, the same tracer", None),
    "unet": ("plain 3D U-Net", {"network": "unet"}),
    "flat": ("without depth: every slice alone", {"depth": 1}),
    "scratch": ("inflated network, from scratch", {}),
    "average": ("natural-image weights, `average`", {**PRETRAINED, "inflation": "average"}),
    "center": ("natural-image weights, `center`", {**PRETRAINED, "inflation": "center"}),
    "best": ("**`best`**, trained longer, four views", {"views": 4}),
}
MEASURES = ("dice", "cldice", "f1_2", "f1_4", "esa", "dsa", "pds")
ROOTS = ("found", "given")


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    records, _ = load_traced(options.stacks, options.stacks, suffix="_gold", voxel=VOXEL)
    if not options.only_table:
        for seed in options.seeds:
            for row in options.rows:
                for count in options.train:
                    for number in range(len(records)):
                        measure(row, count, number, seed, records, options)
    write_text(HERE / "README.md", table(options.results))


def measure(
    row: str, count: int, number: int, seed: int, records: Sequence[Record], options: argparse.Namespace
) -> None:
    """Trains on some stacks and scores the one that was left out, unless that was done."""
    left_out = records[number]
    path = options.results / f"{row}-{count}-{left_out.id}-{seed}.json"
    trained_alike = row != "classical" or (count == options.train[0] and seed == options.seeds[0])
    if path.exists() or not trained_alike:
        return
    module: Any = load_recipe("vit3d")
    fabric = launch(options.device)
    changes = dict(ROWS[row][1] or {})
    if "weights" in changes:
        changes["weights"] = str(options.data / changes["weights"])
    config = override(module.presets()["fast"], changes)
    steps = 0
    if row == "classical":
        control = module.controls([], config)["threshold"]
        found = dict.fromkeys(ROOTS, control(left_out.image))
    else:
        train = [records[(number + step) % len(records)] for step in range(1, count + 1)]
        minutes = options.best if row == "best" else options.budget
        steps = options.steps or within_budget(module, config, train, options.work / row, fabric, minutes)
        run = open_run(options.work / f"{row}-{count}-{left_out.id}-{seed}", seed, fabric)
        module.train(run, train, override(config, {"steps": steps}))
        predictor = module.load(run.path, fabric)
        found = both(predictor, left_out)
        shutil.rmtree(run.path)
    result = {
        "row": row,
        "train": count,
        "stack": left_out.id,
        "seed": seed,
        "steps": steps,
        "hardware": hardware(fabric.device),
        **{f"root {root}": scored(found[root], left_out) for root in ROOTS},
    }
    write_json(path, result)
    write_text(HERE / "README.md", table(options.results))
    print(row, count, left_out.id, seed, result["root found"], flush=True)


def both(predictor: Any, record: Record) -> dict[str, Segmentation]:
    """What is found without a root, and with the true one; the network runs once."""
    from morula.recipes.vit3d.predict import found_neuron
    from morula.recipes.vit3d.recipe import tracing_of

    likely, tracing = predictor.likely(record.image), tracing_of(record.image)
    assert record.trace is not None
    tree = record.trace()
    root = np.clip(tree.points[tree.roots[0]], 0, np.array(record.image.shape) - 1)
    return {
        "found": found_neuron(likely, tracing=tracing),
        "given": found_neuron(likely, root=root.tolist(), tracing=tracing),
    }


def scored(found: Segmentation, record: Record) -> dict[str, float]:
    """Scores of the tree against the trace as it came, of the mask against the trace where it is bright."""
    assert record.trace is not None and found.tree is not None
    tree, image = record.trace(), record.image.read()
    truth = draw_tree(tree.moved(align(tree, image).shift), image.shape, least=1.5, largest=3.0)
    mask: Array = found.labels > 0
    trees = tree_scores(found.tree, tree, record.image.voxel)
    return {"dice": dice(mask, truth), "cldice": centreline_dice(mask, truth), **trees}


def within_budget(
    module: Any, config: Any, train: Sequence[Record], kept: Path, fabric: Any, minutes: float
) -> int:
    """The steps that a budget holds: two short trainings tell a step apart from what is done once.

    The number is kept, so that a row has the same steps for every stack and seed.
    """
    path = kept.with_suffix(".json")
    if path.exists():
        return int(read_json(path)["steps"])
    spent: list[float] = []
    clock = stopwatch(fabric.device)
    for count in (4, 12):
        run = open_run(kept.with_name(f"{kept.name}-trial-{count}"), 0, fabric)
        began = clock()
        module.train(run, train, override(config, {"steps": count}))
        spent.append(clock() - began)
        shutil.rmtree(run.path)
    steps = max(10, round(minutes * 60 * 8 / max(spent[1] - spent[0], 1e-3)))
    write_json(path, {"steps": steps})
    return steps


def stopwatch(device: Any) -> Callable[[], float]:
    """Seconds of this process on a CPU, of the clock elsewhere."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def open_run(path: Path, seed: int, fabric: Any) -> Run:
    """A run without a plan."""
    return Run.open(path, recipe="vit3d", config={}, data={}, seed=seed, fabric=fabric, existing="continue")


def hardware(device: Any) -> str:
    """What the time was measured on."""
    return f"{device.type}, {platform.processor() or platform.machine()}"


def table(results: Path) -> str:
    """README.md: a table for each way to the root, from all results that are there."""
    found = [read_json(path) for path in sorted(results.glob("*.json"))]
    lines = [(HERE / "head.md").read_text(encoding="utf-8")]
    for root in ROOTS:
        lines += [f"\n## Root {root}\n", f"| row | traced stacks | runs | {' | '.join(MEASURES)} |"]
        lines.append("|---" * (3 + len(MEASURES)) + "|")
        for row, (title, _) in ROWS.items():
            for count in sorted({each["train"] for each in found if each["row"] == row}):
                ours = [each for each in found if (each["row"], each["train"]) == (row, count)]
                cells = [told([each[f"root {root}"][name] for each in ours]) for name in MEASURES]
                shown = "-" if row == "classical" else str(count)
                lines.append(f"| {title} | {shown} | {len(ours)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def told(values: Sequence[float]) -> str:
    """Mean and standard deviation over stacks and seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=3.0, help="minutes of training")
    parser.add_argument("--best", type=float, default=10.0, help="minutes of training of `best`")
    parser.add_argument("--steps", type=int, help="steps in place of minutes, to try the script")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--train", type=int, nargs="+", default=[1, 4], help="traced stacks")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only-table", action="store_true")
    options = parser.parse_args()
    options.stacks = options.data / "lm_diadem_op/open"
    return options


if __name__ == "__main__":
    main()
