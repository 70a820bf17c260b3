"""Measures how much of the labels pre-training on the whole volume saves, on FIB-SEM neurons; resumable.

    python benchmarks/neurons_em/table.py --data DATA --budget 5 4

DATA holds em_fib25_neurons/open. The split is fixed: sections 0-59 train, 60-89 tune the threshold, 90-119
test; pre-training sees all grey values and no label. Label budgets are nested boxes of the training part.
Network, fine-tuning and decoder are the same for all rows; what the network starts from alone differs, is
made once for each seed and is shared by the label budgets. The seconds of a step are measured first, and the
number of steps follows: one number for every fine-tuning, one for each row's pre-training, kept beside the
results. On a CPU these are seconds of the process, so that others on the machine change nothing. Each result
is one JSON file, and README.md is written from these files alone.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fib25 import EDGE, opened, references
from summary import markdown

from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.engine import Run, Weights, hardware, launch, read_json, steps_within, stopwatch
from morula.recipes import load_recipe
from morula.tasks import neurons

HERE = Path(__file__).parent


class Row(NamedTuple):
    """A line of the table: how the network is pre-trained.

    Attributes:
        title: as it is shown.
        recipe: whose pre-training, None for none.
        preset: of that recipe; its pre-training alone is taken.
        seeds: with how many it is measured.
        segments: whether what pre-training leaves finds neurons before it has seen a label.
    """

    title: str
    recipe: str | None
    preset: str
    seeds: int = 2
    segments: bool = False


class Volume(Protocol):
    """What rows are measured on."""

    def problem(self, network: neurons.Network, share: int) -> neurons.Problem:
        """The volume with this percent of its training part labelled."""
        ...

    def judged(self, run: Path, decode: neurons.Decode, fabric: Any) -> dict[str, Any]:
        """Scores of a finished run."""
        ...

    def judged_without_labels(
        self, weights: Weights, problem: neurons.Problem, decode: neurons.Decode, fabric: Any
    ) -> dict[str, Any]:
        """Scores of a network that no label has taught."""
        ...


ROWS: Mapping[str, Row] = {
    "scratch": Row("from scratch", None, "", seeds=3),
    "mae": Row("plain MAE", "dbmim", "mae"),
    "edge": Row("MAE, edge mask", "dbmim", "edge"),
    "random": Row("dbmim, random mask", "dbmim", "random"),
    "rl": Row("dbmim, learned mask (RL)", "dbmim", "rl"),
    "coded": Row("mscon, contrast of the public code", "mscon", "coded"),
    "infonce": Row("mscon, InfoNCE", "mscon", "info-nce"),
    "best": Row("**`best`**: trains itself without labels", "mscon", "best", seeds=3, segments=True),
}


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    if not options.only_table:
        volume = opened(options.data)
        write_json(options.results / "references.json", references(volume))
        for seed in options.seeds:
            for row in options.rows:
                if seed < ROWS[row].seeds:
                    measure(row, seed, volume, options)
                    write_table(options.results)
    write_table(options.results)


def measure(row: str, seed: int, volume: Volume, options: argparse.Namespace) -> None:
    """Pre-trains once, and fine-tunes and scores at each label budget whose result is not there."""
    missing = [share for share in options.shares if not _result(options, row, share, seed).exists()]
    if not missing:
        return
    shared: Any = load_recipe("mscon").presets()["best"]
    fabric = launch(options.device, shared.precision)
    whole = volume.problem(shared.network, 100)
    encoder, before = pretrained(row, seed, whole, fabric, options) if ROWS[row].recipe else (None, 0)
    after = steps_of(
        "finetune", lambda run, count: train_only(run, whole, shared.finetune, count),
        options.budget[1], fabric, options,
    )  # fmt: skip

    def keep(share: int, steps: list[int], scores: dict[str, Any]) -> None:
        found = {"row": row, "share": share, "seed": seed, "minutes": options.budget, "steps": steps}
        found |= {"hardware": hardware(fabric.device), **scores}
        write_json(_result(options, row, share, seed), found)
        print(row, share, seed, steps, scores["test"], flush=True)

    if encoder is not None and ROWS[row].segments and not _result(options, row, 0, seed).exists():
        keep(0, [before, 0], volume.judged_without_labels(encoder, whole, shared.decode, fabric))
    for share in missing:
        run = open_run(work_of(options) / f"{row}-{seed}-{share}", row, seed, fabric)
        settings = override(shared.finetune, {"steps": after})
        neurons.learn(run, volume.problem(shared.network, share), encoder, settings, shared.decode)
        keep(share, [before, after], volume.judged(run.path, shared.decode, fabric))
        shutil.rmtree(run.path)


def pretrained(
    row: str, seed: int, whole: neurons.Problem, fabric: Any, options: argparse.Namespace
) -> tuple[Weights, int]:
    """What a row's fine-tunings start from, and its steps."""
    module: Any = load_recipe(ROWS[row].recipe or "")
    config = module.presets()[ROWS[row].preset]
    part = "pretrain" if config.pretrain.steps else "self_training"

    def train(run: Run, count: int) -> Weights:
        return module.pretrain(run, whole.unlabelled, override(config, {part: {"steps": count}}))

    steps = steps_of(row, train, options.budget[0], fabric, options, whole=ROWS[row].segments)
    return train(open_run(work_of(options) / f"{row}-{seed}-pretrain", row, seed, fabric), steps), steps


def train_only(run: Run, problem: neurons.Problem, settings: neurons.Finetune, count: int) -> None:
    """Fine-tuning without what follows it, to tell the seconds of a step."""
    neurons.finetuned(
        run, run.stage("finetune"), [problem.block.known], override(settings, {"steps": count}), None,
        network=problem.network, isotropic=problem.isotropic,
    )  # fmt: skip


def steps_of(
    name: str,
    train: Callable[[Run, int], Any],
    minutes: float,
    fabric: Any,
    options: argparse.Namespace,
    *,
    whole: bool = False,
) -> int:
    """The steps that a budget holds; `whole` if neurons are found between them, which takes its time, too.

    The number is kept with the results, so that all seeds have the same steps wherever they are measured.
    """
    path = options.results / "steps" / f"{name}-{_budget(options)}.json"
    if path.exists():
        return int(read_json(path)["steps"])

    def trial(steps: int) -> None:
        place = work_of(options) / f"{name}-trial-{steps}"
        shutil.rmtree(place, ignore_errors=True)
        train(open_run(place, name, 0, fabric), steps)
        shutil.rmtree(place)

    trials = (30, 120) if whole else (4, 28)
    steps = steps_within(minutes, trial, stopwatch(fabric.device), trials=trials, whole=whole)
    write_json(path, {"steps": steps})
    return steps


def open_run(path: Path, row: str, seed: int, fabric: Any) -> Run:
    """A run of its own for each training; its stages know their settings."""
    return Run.open(path, recipe=row, config={}, data={}, seed=seed, fabric=fabric)


def write_table(results: Path) -> None:
    """README.md beside the results of this table, of sections.py and of mitochondria.py."""
    titles = {name: row.title for name, row in ROWS.items()}
    head = (HERE / "head.md").read_text(encoding="utf-8")
    write_text(results.parent / "README.md", markdown(head, results, titles))


def _result(options: argparse.Namespace, row: str, share: int, seed: int) -> Path:
    return options.results / f"{row}-{share}-{_budget(options)}-{seed}.json"


def work_of(options: argparse.Namespace) -> Path:
    """Where what is made on the way is kept, by budget."""
    return options.work / _budget(options)


def _budget(options: argparse.Namespace) -> str:
    before, after = options.budget
    return f"{before:g}+{after:g}min"


def parser_of(told: str | None, *, work: str, results: Path) -> argparse.ArgumentParser:
    """The options that measurements of pre-training share."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--budget", type=float, nargs=2, default=[5.0, 4.0], help="minutes of pre-training and fine-tuning"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", type=Path, default=Path(work))
    parser.add_argument("--results", type=Path, default=results)
    return parser


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, work="runs/benchmarks-neurons-em", results=HERE / "results")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--shares", nargs="+", type=int, choices=EDGE, default=list(EDGE))
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="scratch and best have 0 to 2, others 0 and 1"
    )
    parser.add_argument("--only-table", action="store_true", help="measure nothing, write the table anew")
    return parser.parse_args()


if __name__ == "__main__":
    main()
