"""Measures recipe emda, its strategies alone and its controls on two open EM volumes, both ways; resumable.

    python benchmarks/emda/table.py --data DATA --budget 2 --seeds 0 1 2

DATA holds em_vnc_sstem/open and em_cdeep3m_mito/open. Every row trains for the same time: the seconds of a
step are measured first, and the number of steps follows. On a CPU that is the time of the process, so that
others on the machine change nothing. Target labels only score; each result is one JSON file, and README.md
is written from these files alone.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from selection import CRITERIA, lines, picks, read

from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.core.types import Array, Record, Volume, Voxel
from morula.data import load_volumes
from morula.engine import Run, hardware, launch, read_json, steps_within, stopwatch
from morula.recipes import load_recipe
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.domains import domains_of
from morula.recipes.emda.recipe import STRATEGIES
from morula.workflows.volume_scores import volume_scores

HERE = Path(__file__).parent
GAP = 24  # pixels between the two halves of a volume for the in-domain upper bound
ROWS: Mapping[str, str] = {
    "source-only": "source-only, paper network",
    "source-only-best": "source-only, best network",
    "hm": "histogram matching",
    "fda": "FDA",
    "cut": "CUT",
    "ssl": "self-supervised pretext",
    "ynet": "Attention Y-Net",
    "damt": "DAMT-Net",
    "mean-teacher": "mean teacher",
    "inter-section": "consistency between sections",
    "harmonise": "best network, one pixel size",
    "best": "**best**",
    "upper": "in-domain upper bound",
}
SMALLER: Mapping[str, Mapping[str, Any]] = {"damt": {"width": 16, "crop": 256}}
"""Of these rows on a CPU, where ten steps of DAMT-Net at its published size take the whole budget."""

COLUMNS = (*CRITERIA, "oracle")
recipe = load_recipe("emda")


@dataclass(frozen=True)
class Domain:
    """One of the two volumes, and the size that a user would give."""

    folder: str
    stem: str
    voxel: Voxel | None

    def records(self, data: Path, role: Any) -> Record:
        """Its record with labels."""
        base = data / self.folder / "open" / self.stem
        found, _ = load_volumes(f"{base}_raw.tif", f"{base}_mito.tif", voxel=self.voxel, domain=role)
        image = found[0].image if self.voxel else replace(found[0].image, voxel=None)
        return replace(found[0], image=image)


VNC = Domain("em_vnc_sstem", "vnc_stack1", Voxel(z=45.0, y=4.6, x=4.6))
CDEEP3M = Domain("em_cdeep3m_mito", "z010-029", None)
DIRECTIONS = {"vnc-cdeep3m": (VNC, CDEEP3M), "cdeep3m-vnc": (CDEEP3M, VNC)}


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    for seed in [] if options.only_table else options.seeds:
        for row in options.rows:
            for direction in options.directions:
                measure(row, direction, seed, options)
                write_text(HERE / "README.md", table(options.results))
    write_text(HERE / "README.md", table(options.results))


def measure(row: str, direction: str, seed: int, options: argparse.Namespace) -> None:
    """Trains and scores one row, unless its result is there."""
    result = options.results / f"{row}-{direction}-{options.budget:g}min-{seed}.json"
    if result.exists():
        return
    source, target = (
        domain.records(options.data, role)
        for domain, role in zip(DIRECTIONS[direction], ("source", "target"), strict=True)
    )
    assert target.labels is not None
    truth, box = target.labels(), lower_half(target.image.shape)
    if row == "upper":
        source = part(target, upper_half(target.image.shape), "source")
    records = [source, replace(part(target, box, "target") if row == "upper" else target, labels=None)]
    preset = "harmonise" if row == "upper" else row
    work = options.work / result.stem
    fabric = launch(options.device)
    clock = stopwatch(fabric.device)
    smaller = SMALLER.get(row, {}) if fabric.device.type == "cpu" else {}
    config = override(recipe.presets()[preset], smaller)
    settings = within_budget(config, records, fabric, work, options.budget, clock)
    began = clock()
    run = open_run(work / "run", settings, seed, fabric)
    recipe.train(run, records, settings)
    trained = clock() - began
    scores = judged(work / "run", records[1], truth[box] if row == "upper" else truth, box, row, fabric)
    summary = read_json(next((work / "run").glob("*-select")) / "done.json")
    found = {
        "row": row,
        "direction": direction,
        "seed": seed,
        "budget_minutes": options.budget,
        "steps": settings.steps,
        "seconds_with_selection": round(trained, 1),
        "chosen": summary["chosen"],
        "candidates": summary["candidates"],
        "ratio": read_json(next((work / "run").glob("*-zoom")) / "done.json")["ratio"],
        "hardware": hardware(fabric.device),
        **scores,
    }
    write_json(result, found)
    shutil.rmtree(work)
    print(row, direction, seed, settings.steps, found["iou"], flush=True)


def within_budget(
    config: Any,
    records: Sequence[Record],
    fabric: Any,
    work: Path,
    minutes: float,
    clock: Callable[[], float],
) -> EmdaConfig:
    """The config with as many steps as the budget holds.

    Only training is timed: what follows it, above all the search for an unknown pixel size, takes a time of
    its own.
    """
    domains = domains_of(records, harmonise=config.harmonise, edge=config.pixel_nm)

    def trial(steps: int) -> None:
        shutil.rmtree(work, ignore_errors=True)
        short = override(config, {"steps": steps, "candidates": 1})
        STRATEGIES[config.strategy](open_run(work / "trial", short, 0, fabric), domains, short)

    steps = steps_within(minutes, trial, clock, trials=(10, 30))
    shutil.rmtree(work)
    return override(config, {"steps": steps})


def judged(
    run: Path, target: Record, truth: Array, box: tuple[slice, ...], row: str, fabric: Any
) -> dict[str, Any]:
    """Scores of the candidates by criterion, as they were judged, and of what the preset makes in the end."""
    chosen = read_json(next(run.glob("*-select")) / "done.json")["chosen"]
    rows: dict[str, dict[str, float]] = {}
    for name, model in recipe.checkpoints(run, fabric).items():
        rows[name] = scored(model(target.image).labels, truth, box, row)
    picked = {name: rows[str(step)] for name, step in chosen.items()}
    picked["oracle"] = max(rows.values(), key=lambda scores: scores["iou"])
    final = scored(recipe.load(run, fabric)(target.image).labels, truth, box, row)
    measures = ("iou", "iou_per_slice", "half_iou")
    by_measure = {each: {name: scores[each] for name, scores in picked.items()} for each in measures}
    return {**by_measure, "final": final, "trace": {name: scores["iou"] for name, scores in rows.items()}}


def scored(labels: Array, truth: Array, box: tuple[slice, ...], row: str) -> dict[str, float]:
    """Scores of the whole target, and the IoU of the half that the upper bound is tested on."""
    found = volume_scores(labels, truth)
    half = found if row == "upper" else volume_scores(labels[box], truth[box])
    return {**found, "half_iou": half["iou"]}


def upper_half(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The first half of the rows of every section, less half the gap."""
    return slice(None), slice(0, shape[1] // 2 - GAP // 2), slice(None)


def lower_half(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The second half, beyond the gap."""
    return slice(None), slice(shape[1] // 2 + GAP // 2, shape[1]), slice(None)


def part(record: Record, box: tuple[slice, ...], domain: Any) -> Record:
    """A box of a volume as a volume of its own; its pixels are taken for 8 nm where nobody knows."""
    labels = record.labels
    assert labels is not None
    image: Volume = replace(
        record.image,
        source=record.image[box],
        uri=f"{record.image.uri}[{box}]",
        voxel=record.image.voxel or Voxel(y=8.0, x=8.0),
    )
    return replace(
        record, id=f"{record.id}-{domain}", image=image, labels=lambda: labels()[box], domain=domain
    )


def open_run(path: Path, settings: Any, seed: int, fabric: Any) -> Run:
    """A run of its own for each training."""
    return Run.open(
        path, recipe="emda", config=settings.model_dump(mode="json"), data={}, seed=seed, fabric=fabric
    )


def table(results: Path) -> str:
    """The results as Markdown."""
    found = read(results)
    text = [(HERE / "head.md").read_text()]
    if not found:
        return "\n".join([*text, "No result is committed yet.", ""])
    for budget in sorted({each["budget_minutes"] for each in found}):
        for direction in DIRECTIONS:
            own = [r for r in found if (r["budget_minutes"], r["direction"]) == (budget, direction)]
            text += [*_section(f"{direction}, {budget:g} minutes", own), ""] if own else []
        text += [*_summary([each for each in found if each["budget_minutes"] == budget]), ""]
    machines = sorted({each["hardware"] for each in found})
    return "\n".join([*text, f"Hardware: {'; '.join(machines)}.", ""])


def _section(title: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    text = [
        f"## {title}",
        "",
        f"| method | {' | '.join(COLUMNS)} | final | per slice, final | steps | seeds |",
        "|---" * (len(COLUMNS) + 5) + "|",
    ]
    for row, name in ROWS.items():
        own = [each for each in found if each["row"] == row]
        if not own:
            continue
        picked = [picks(each) for each in own]
        cells = [_mean(each[column] for each in picked) for column in COLUMNS]
        cells += [_mean(each["final"][key] for each in own) for key in ("iou", "iou_per_slice")]
        steps = round(np.mean([each["steps"] for each in own]))
        text.append(f"| {name} | {' | '.join(cells)} | {steps} | {len(own)} |")
    return text


def _summary(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the selection loses to the oracle, and how much of the gap to the upper bound is closed."""
    text = ["IoU lost to the oracle over all rows and seeds:", "", *lines(found, CRITERIA)]
    for direction in DIRECTIONS:
        text += ["", _gap([each for each in found if each["direction"] == direction], direction)]
    return text


def _gap(found: Sequence[Mapping[str, Any]], direction: str) -> str:
    """How far `best` comes on the half that the upper bound is tested on, in one direction."""
    rows = ("source-only", "source-only-best", "best", "upper")
    means = {row: [each["final"]["half_iou"] for each in found if each["row"] == row] for row in rows}
    if not all(means.values()):
        return f"{direction}: the rows that tell the share of the gap are not complete."
    paper, plain, ours, high = (float(np.mean(means[row])) for row in rows)
    text = (
        f"{direction}, on the half that the upper bound is tested on: source-only {paper:.3f} (paper "
        f"network) and {plain:.3f} (best network), best {ours:.3f}, upper bound {high:.3f}. "
    )
    if high <= max(ours, plain):
        return text + "The upper bound is below what it should bound, so there is no share to state."
    shares = [(ours - low) / (high - low) for low in (paper, plain)]
    return text + f"Best closes {shares[0]:.0%} and {shares[1]:.0%} of the two gaps."


def _mean(values: Iterable[float]) -> str:
    every = list(values)
    spread = f" ± {np.std(every, ddof=1):.3f}" if len(every) > 1 else ""
    return f"{np.mean(every):.3f}{spread}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--budget", type=float, default=2.0, help="minutes of training, the same for every row"
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--directions", nargs="+", choices=DIRECTIONS, default=list(DIRECTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only-table", action="store_true", help="measure nothing, write the table anew")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks-emda"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
