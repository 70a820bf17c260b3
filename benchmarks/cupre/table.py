"""Measures recipe cupre with 1 to 10 labelled images, what AMT2 adds, and the controls; resumable.

    python benchmarks/cupre/table.py --data DATA --budget 6 4 --seeds 0 1 2

DATA holds dsb2018/open, pc_usiigaci_t98g/open and nat_coco128/open. A third of each set is for the test. The
labelled images of a seed are drawn balanced over modalities, a larger draw holds the smaller one, and all
other images of the train part have no labels. Pre-training sees no label of cells, and is shared by a row's
draws. All rows pre-train for the first number of minutes and train for the second, `long` for --long: the
seconds of a step are measured first, and the number of steps follows. On a CPU that is the time of the
process, so that others on the machine change nothing. Each result is one JSON file, and README.md is written
from these files alone. peers.py adds those of Cellpose and StarDist.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from protocol import SETS, Objects, Problem, opened, scores
from torchvision.models.detection import MaskRCNN

from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.core.types import Record, Segmentation, Volume
from morula.data.modality import modality
from morula.engine import Run, hardware, launch, read_json, steps_within, stopwatch
from morula.recipes import load_recipe
from morula.recipes.cupre.batches import Example
from morula.recipes.cupre.config import CupreConfig
from morula.recipes.cupre.paper.config import PaperConfig, paper_small
from morula.recipes.cupre.paper.detect import PaperPredictor
from morula.recipes.cupre.paper.finetune import finetune
from morula.recipes.cupre.paper.images import cell_example, normalised
from morula.recipes.cupre.paper.pretrain import pretrain

HERE = Path(__file__).parent
NATURAL = "nat_coco128/open/instances.json"
MEASURES = {"AP": "AP", "AP50": "AP50", "ap50": "TP/(TP+FP+FN) at .5", "dsb": "DSB score"}
MOST = 400
"""Objects that the detector may find in an image or tile: no image has as many."""

ABLATION = 5
"""Labelled images with which the ways to pre-train are compared."""

Predictor = Callable[[Volume], Segmentation]


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        title: as it is shown.
        kind: a control of the recipe, its preset, or the detector of the paper.
        settings: name of the control or preset; what the detector's config changes.
        everywhere: whether it is measured on all sets and with all numbers of labels.
    """

    title: str
    kind: str
    settings: Any
    everywhere: bool = True


def _detector(title: str, objective: str, *, everywhere: bool = False, **more: Any) -> Row:
    return Row(title, "detector", {"objective": objective, **more}, everywhere)


ROWS: Mapping[str, Row] = {
    "otsu": Row("Otsu, watershed (no labels)", "control", "otsu-watershed"),
    "pseudo": Row("pseudo labels alone (no labels)", "control", "pseudo-labels"),
    "scratch": _detector("Mask R-CNN from scratch", "none", everywhere=True),
    "detect": _detector("Mask R-CNN, COCO only", "detect"),
    "contrast": _detector("Mask R-CNN, MoCo only", "contrast"),
    "sequence": _detector("Mask R-CNN, COCO then MoCo", "sequence"),
    "sum": _detector("Mask R-CNN, sum of both", "sum"),
    "amt2": _detector("Mask R-CNN, AMT2", "amt2"),
    "teacher": _detector("Mask R-CNN, AMT2, mean teacher", "amt2", taught=2),
    "unet": Row("U-Net from scratch (preset `scratch`)", "preset", "scratch"),
    "best": Row("**preset `best`**", "preset", "best"),
    "long": Row("**preset `best`, longer**", "preset", "best", everywhere=False),
    "cellpose": Row("Cellpose 3 from scratch", "peer", None),
    "stardist": Row("StarDist from scratch", "peer", None),
}
OURS = [name for name, row in ROWS.items() if row.kind != "peer"]


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    if not options.only_table:
        for problem in [opened(options.data, name, part=options.part) for name in options.sets]:
            for seed in options.seeds:
                for row in options.rows:
                    for count in counts_of(row, problem.name, options.counts):
                        measure(row, problem, count, seed, options)
    write_text(options.results.parent / "README.md", table(options.results))


def counts_of(row: str, name: str, wanted: Sequence[int]) -> Sequence[int]:
    """How many labelled images a row is measured with on a set; 0 where it needs none."""
    every = [count for count in SETS[name].counts if count in wanted]
    if ROWS[row].kind == "control":
        return (0,)
    return every if ROWS[row].everywhere else [count for count in every if count == ABLATION]


@dataclass(frozen=True, eq=False)
class Trial:
    """One cell of the table: a row, trained on a draw of labelled images."""

    row: str
    problem: Problem
    count: int
    seed: int
    fabric: Any
    options: argparse.Namespace

    @property
    def settings(self) -> Any:
        """What the row is made of."""
        return ROWS[self.row].settings

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds."""
        return stopwatch(self.fabric.device)

    def kept(self, name: str) -> Path:
        """A path for what is made on the way."""
        return self.options.work / self.problem.name / name

    def run(self, config: Any) -> Run:
        """The run of this draw."""
        return open_run(self.kept(f"{self.row}-{self.count}-{self.seed}"), config, self.seed, self.fabric)


class Trained(NamedTuple):
    """What segments, the steps of pre-training and training, and the seconds of training."""

    predictor: Predictor
    steps: Sequence[int]
    seconds: float


def measure(row: str, problem: Problem, count: int, seed: int, options: argparse.Namespace) -> None:
    """Trains on a draw and scores the test third, unless that was done."""
    path = options.results / f"{problem.name}-{row}-{count}-{seed}.json"
    if path.exists() or (count == 0 and seed != options.seeds[0]):
        return
    fabric = launch(options.device, "32-true" if ROWS[row].kind == "detector" else "bf16-mixed")
    trial = Trial(row, problem, count, seed, fabric, options)
    trained = _KINDS[ROWS[row].kind](trial)
    began = trial.clock()
    found = {record.id: trained.predictor(record.image) for record in problem.test}
    seconds = trial.clock() - began
    result = {
        "set": problem.name,
        "row": row,
        "labels": count,
        "seed": seed,
        "budget": [*options.budget, options.long],
        "steps": trained.steps,
        "train_seconds": round(trained.seconds, 1),
        "predict_seconds": round(seconds / len(problem.test), 3),
        "images": [len(problem.train), len(problem.test)],
        "hardware": hardware(fabric.device),
        "scores": scores(
            {name: Objects(each.labels, each.scores) for name, each in found.items()}, problem.test
        ),
    }
    write_json(path, result)
    write_text(options.results.parent / "README.md", table(options.results))
    print(
        problem.name, row, count, seed, trained.steps, result["train_seconds"], result["scores"], flush=True
    )


def control(trial: Trial) -> Trained:
    """What needs no label."""
    module: Any = load_recipe("cupre")
    return Trained(module.controls(trial.problem.train, module.presets()["best"])[trial.settings], [], 0.0)


def preset(trial: Trial) -> Trained:
    """A U-Net of the recipe; a third of its steps are those with the teacher's labels, where it has any."""
    module: Any = load_recipe("cupre")
    config: CupreConfig = module.presets()[trial.settings]

    def train(run: Run, steps: int, records: Sequence[Record]) -> None:
        again = max(1, steps // 3) * config.rounds
        changes = {"steps": steps - again, "round_steps": max(1, again), "budgets": ()}
        module.train(run, records, override(config, changes))

    some = trial.problem.few
    minutes = trial.options.budget[1]
    row, longer = ("best", trial.options.long / minutes) if trial.row == "long" else (trial.row, 1.0)
    kept = trial.kept(f"{row}-steps")
    known = within_budget(lambda run, count: train(run, count, some), kept, trial.fabric, minutes)
    steps = round(longer * known)
    run, began = trial.run(config), trial.clock()
    train(run, steps, trial.problem.drawn(trial.count, trial.seed))
    seconds = trial.clock() - began
    predictor = module.load(run.path, trial.fabric)
    shutil.rmtree(run.path)
    return Trained(predictor, [0, steps], seconds)


def detector(trial: Trial) -> Trained:
    """Mask R-CNN of the paper, small."""
    changes = {"natural": str(trial.options.data / NATURAL), "detections": MOST, **trial.settings}
    settings, pretrained = _pretrained(trial, override(paper_small(), changes))

    def train(run: Run, steps: int, records: Sequence[Record]) -> MaskRCNN:
        labelled, others = (
            [_example(each) for each in records if each.is_labelled == side] for side in (1, 0)
        )
        config = override(settings, {"steps": steps})
        return finetune(run, pretrained(), labelled, others if config.taught else [], config)

    some = trial.problem.few
    kept, minutes = trial.kept(f"{trial.row}-steps"), trial.options.budget[1]
    steps = within_budget(lambda run, count: train(run, count, some), kept, trial.fabric, minutes)
    run, began = trial.run(settings), trial.clock()
    network = train(run, steps, trial.problem.drawn(trial.count, trial.seed))
    seconds = trial.clock() - began
    shutil.rmtree(run.path)
    before = 0 if settings.objective == "none" else settings.iterations
    return Trained(PaperPredictor(network, trial.fabric.device), [before, steps], seconds)


def _pretrained(trial: Trial, config: PaperConfig) -> tuple[PaperConfig, Callable[[], MaskRCNN]]:
    """The config with its iterations, and what they made, for all draws and all rows that share it."""
    kept = trial.kept(f"pretrain-{config.objective}")
    cells = [normalised(each.image.read_yxc()) for each in trial.problem.train]

    def train(run: Run, iterations: int) -> MaskRCNN:
        return pretrain(run, cells, override(config, {"iterations": iterations}))

    alone = config.objective == "none"
    steps = 1 if alone else within_budget(train, kept, trial.fabric, trial.options.budget[0])
    settings = override(config, {"iterations": steps, "taught": 0})

    def load() -> MaskRCNN:
        path = kept.with_name(f"{kept.name}-run" + (f"-{trial.seed}" if alone else ""))
        return train(open_run(path, settings, trial.seed if alone else 0, trial.fabric), steps)

    load()
    return override(config, {"iterations": steps}), load


_KINDS: Mapping[str, Callable[[Trial], Trained]] = {
    "control": control, "preset": preset, "detector": detector,
}  # fmt: skip


def _example(record: Record) -> Example:
    pixels = record.image.read_yxc()
    labels = np.zeros(pixels.shape[:2], np.int32) if record.labels is None else record.labels()
    return cell_example(modality(pixels), pixels, labels)


def within_budget(train: Callable[[Run, int], Any], kept: Path, fabric: Any, minutes: float) -> int:
    """The steps that a budget holds, which are kept: a row has the same for all draws."""
    path = kept.with_suffix(".json")
    if path.exists():
        return int(read_json(path)["steps"])

    def trial(steps: int) -> None:
        run = open_run(kept.with_name(f"{kept.name}-trial-{steps}"), None, 0, fabric)
        train(run, steps)
        shutil.rmtree(run.path)

    steps = steps_within(minutes, trial, stopwatch(fabric.device))
    write_json(path, {"steps": steps, "minutes": minutes})
    return steps


def open_run(path: Path, config: Any, seed: int, fabric: Any) -> Run:
    """A run of its own for each training."""
    settings = {} if config is None else config.model_dump(mode="json")
    return Run.open(path, recipe="cupre", config=settings, data={}, seed=seed, fabric=fabric)


def table(results: Path) -> str:
    """README.md: a table for each set, from all results that are there."""
    found = [read_json(path) for path in sorted(results.glob("*.json"))]
    text = [(HERE / "head.md").read_text(encoding="utf-8")]
    if not found:
        return "\n".join([*text, "No result is committed yet.", ""])
    for name, (_, title, counts) in SETS.items():
        own = [each for each in found if each["set"] == name]
        if not own:
            continue
        train, test = own[0]["images"]
        text += [f"## {title}", "", f"{train} images to learn from, {test} for the test.", ""]
        text += [f"| row | labelled images | draws | {' | '.join(MEASURES.values())} |"]
        text.append("|---" * (3 + len(MEASURES)) + "|")
        for row in ROWS:
            for count in (0, *counts):
                text += _line(row, [each for each in own if (each["row"], each["labels"]) == (row, count)])
        text += ["", *_speed(own), ""]
    machines = sorted({each["hardware"] for each in found})
    return "\n".join([*text, f"Hardware: {'; '.join(machines)}.", ""])


def _line(row: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return []
    cells = [told([each["scores"][name] for each in found]) for name in MEASURES]
    shown = str(found[0]["labels"] or "-")
    return [f"| {ROWS[row].title} | {shown} | {len(found)} | {' | '.join(cells)} |"]


def _speed(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Time of the process per test image, and as a ratio to that of `best`, with the AP beside it.

    Of the first draw with most labels alone, for it takes one sitting to measure all rows with it.
    """
    counts = (0, max(each["labels"] for each in found))
    first = {each["row"]: each for each in found if each["seed"] == 0 and each["labels"] in counts}
    text = ["| row | seconds a test image | images/s over those of `best` | AP | training, s |"]
    text.append("|---" * 5 + "|")
    for row in [name for name in ROWS if name in first]:
        own = first[row]
        seconds = own["predict_seconds"]
        ratio = f"{first['best']['predict_seconds'] / seconds:.2f}" if "best" in first else ""
        cells = [ROWS[row].title, f"{seconds:.2f}", ratio, f"{own['scores']['AP']:.3f}"]
        cells.append(f"{own['train_seconds']:.0f}")
        text.append(f"| {' | '.join(cells)} |")
    return text


def told(values: Sequence[float]) -> str:
    """Mean, and standard deviation over the draws."""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rows", nargs="+", choices=OURS, default=OURS)
    parser.add_argument(
        "--budget", type=float, nargs=2, default=[6.0, 4.0], help="minutes of pre-training and of training"
    )
    parser.add_argument("--long", type=float, default=25.0, help="minutes of training of row `long`")
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 3, 5, 10], help="labelled images")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--part", choices=["test", "tune"], default="test", help="tune: without the test third"
    )
    parser.add_argument("--only-table", action="store_true", help="measure nothing, write the table anew")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks-cupre"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
