"""Measures recipe psm and its controls on real images; resumable, one JSON file per set, preset and seed.

    python benchmarks/psm/table.py --data DATA --seeds 0 1 2

DATA holds the sets as `<name>/open/images` beside `masks` (instance labels) or `points` (CSV with x,y,label).
No label takes part in the method, whose constants were chosen on these images; labels are read after all
predictions are on disk.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from morula.core.files import write_json, write_text
from morula.core.types import Record, Segmentation
from morula.data import load_records, write_prediction
from morula.engine import hardware, launch
from morula.recipes import Predictor, load_recipe
from morula.workflows.evaluate import evaluate
from morula.workflows.plan import plan
from morula.workflows.predict import open_model
from morula.workflows.train import train_plan

HERE = Path(__file__).parent
HEAD = """\
# Recipe psm on real images

Made by `python benchmarks/psm/table.py --data DATA` from `results/`. No label takes part in the method, but
its constants were chosen by looking at scores on these open images. Scores are means over all images of a
set, ± the standard deviation over the seeds. BCData: mean F1 of positive and negative nuclei,
pooled over images, within 12.5 and 6 pixels. `ap50` is TP/(TP+FP+FN) at an IoU of .5, not COCO's AP50 as
in benchmarks/cupre. Images: 26 (monuseg), 16, 122, 22.

Cores were shared with other work, so times are upper bounds. Some networks were trained before the schedule
was split by kind of image and the decoding was settled; for their kinds training is the same, and all were
predicted and scored with the code of 21 November 2026. T98G: the network adds nothing to its pseudo labels.
"""
Scores = dict[str, float]


@dataclass(frozen=True)
class Benchmark:
    """A data set and what counts on it."""

    images: str
    truth: str
    measures: tuple[str, ...]
    score: Callable[[Path, Path], Scores]


def instances(predicted: Path, truth: Path) -> Scores:
    """Means over images, against true instances."""
    return evaluate(predicted, truth, kind="instances")["mean"]


def points(predicted: Path, truth: Path) -> Scores:
    """Mean over positive and negative of the pooled F1, at 6 and 12.5 pixels."""
    scores: Scores = {}
    for radius in (12.5, 6.0):
        found = evaluate(predicted, truth, kind="points", radius=radius)["mean"]["micro"]
        scores[f"f1@{radius:g}"] = float(np.mean([found[name]["f1"] for name in ("positive", "negative")]))
    return scores


BENCHMARKS: Mapping[str, Benchmark] = {
    "monuseg": Benchmark(
        "hist_monuseg/open/images", "hist_monuseg/open/masks", ("aji", "pq", "ap50"), instances
    ),
    "bcdata": Benchmark(
        "ihc_bcdata_ki67/open/images", "ihc_bcdata_ki67/open/points", ("f1@12.5", "f1@6"), points
    ),
    "dsb2018": Benchmark("dsb2018/open/images", "dsb2018/open/masks", ("ap50", "aji", "pq"), instances),
    "t98g": Benchmark(
        "pc_usiigaci_t98g/open/images", "pc_usiigaci_t98g/open/masks", ("ap50", "aji", "pq"), instances
    ),
}


def main() -> None:
    """Fills in what is missing, then writes the table."""
    options = _options()
    for name in [] if options.only_table else options.sets:
        bench = BENCHMARKS[name]
        records, _ = load_records(options.data / bench.images)
        for seed in options.seeds:
            measure(name, bench, options, seed)
        compare(name, bench, options, records)
    write_text(HERE / "README.md", table(options.results, options.preset))


def measure(name: str, bench: Benchmark, options: argparse.Namespace, seed: int) -> None:
    """Trains, predicts and scores one seed, unless its result is there."""
    result = options.results / f"{name}-{options.preset}-{seed}.json"
    if result.exists():
        return
    run = options.work / f"{name}-{options.preset}-{seed}"
    made = plan(options.data / bench.images, recipe="psm", preset=options.preset)
    began = time.monotonic()
    train_plan(made, out=run, seed=seed)
    trained = time.monotonic()
    save(open_model(run), made.records, run / "predictions")
    done = time.monotonic()
    scores = bench.score(run / "predictions", options.data / bench.truth)
    seconds = {"train_seconds": round(trained - began), "predict_seconds": round(done - trained)}
    found = {"scores": scores, **seconds, "images": len(made.records)}
    write_json(result, {**found, "hardware": hardware(launch().device)})
    print(name, options.preset, seed, scores, seconds, flush=True)


def compare(name: str, bench: Benchmark, options: argparse.Namespace, records: Sequence[Record]) -> None:
    """Scores every control of the recipe, unless its result is there."""
    recipe = load_recipe("psm")
    for control, predictor in recipe.controls(records, recipe.presets()[options.preset]).items():
        result = options.results / f"{name}-control-{control}.json"
        if result.exists():
            continue
        folder = options.work / f"{name}-control-{control}"
        save(predictor, records, folder)
        scores = bench.score(folder, options.data / bench.truth)
        write_json(result, {"scores": scores, "hardware": hardware(launch().device)})
        print(name, control, scores, flush=True)


def save(predictor: Predictor, records: Sequence[Record], folder: Path) -> None:
    """Writes what a predictor makes of every image."""
    for record in records:
        found: Segmentation = predictor(record.image)
        write_prediction(folder / record.id, found, record.image)


def table(results: Path, preset: str) -> str:
    """The results as Markdown: mean and standard deviation over the seeds."""
    lines = [HEAD]
    for name, bench in BENCHMARKS.items():
        if not any(results.glob(f"{name}-*.json")):
            continue
        lines += [f"## {name}", "", f"| method | {' | '.join(bench.measures)} | seeds | training |"]
        lines += ["|---|" + "---|" * (len(bench.measures) + 2)]
        ours = sorted(results.glob(f"{name}-{preset}-*.json"))
        if ours:
            lines.append(_row(f"**psm, preset {preset}**", bench, ours))
        lines += [
            _row(path.stem.removeprefix(f"{name}-control-"), bench, [path])
            for path in sorted(results.glob(f"{name}-control-*.json"))
        ]
        lines.append("")
    machines = sorted({json.loads(path.read_text())["hardware"] for path in results.glob("*.json")})
    return "\n".join([*lines, f"Hardware: {'; '.join(machines)}.", ""])


def _row(method: str, bench: Benchmark, files: Sequence[Path]) -> str:
    rows = [json.loads(path.read_text()) for path in files]
    cells = []
    for measure in bench.measures:
        values = [row["scores"][measure] for row in rows]
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{spread}")
    seconds = [row["train_seconds"] for row in rows if "train_seconds" in row]
    training = f"{np.mean(seconds) / 60:.1f} min" if seconds else "none"
    return f"| {method} | {' | '.join(cells)} | {len(rows) if seconds else '-'} | {training} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only-table", action="store_true", help="measure nothing, write the table anew")
    parser.add_argument("--preset", default="best")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks-psm"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
