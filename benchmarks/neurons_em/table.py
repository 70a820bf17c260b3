"""Measures how much of the labels pre-training on the whole volume saves, on FIB-SEM neurons; resumable.

    taskset -c 1 python benchmarks/neurons_em/table.py --data ../shared/data --budget 5 4 --seeds 0 1 2

DATA holds em_fib25_neurons/open. The split is fixed: sections 0-59 train, 60-89 tune the threshold, 90-119
test; pre-training sees all grey values and no label. Label budgets are nested boxes of the training part.
Every row is pre-trained for the same time, then fine-tuned for the same time at each label budget: the
seconds of a step are measured first, and the number of steps follows. On a CPU that is the time of the
process, so that others on the machine change nothing. Each result is one JSON file, and README.md is written
from these files alone.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morula.core.affinities import Affinities
from morula.core.config import override
from morula.core.files import write_json, write_text
from morula.core.types import Array, Voxel
from morula.data import load_volumes, read_labels
from morula.engine import Run, Weights, launch, read_json
from morula.metrics import neuron_scores
from morula.post import agglomerate, region_graph, relabel
from morula.recipes import load_recipe
from morula.tasks import neurons

HERE = Path(__file__).parent
STEM = "em_fib25_neurons/open/fib25_training2"
ROWS: Mapping[str, tuple[str, str, str]] = {
    "scratch": ("mscon", "scratch", "from scratch"),
    "mae": ("dbmim", "mae", "plain MAE"),
    "edge": ("dbmim", "edge", "MAE, edge mask"),
    "random": ("dbmim", "random", "dbmim, random mask"),
    "rl": ("dbmim", "rl", "dbmim, learned mask (RL)"),
    "coded": ("mscon", "coded", "mscon, contrast of the public code"),
    "best": ("mscon", "best", "**mscon, `best`** (InfoNCE)"),
}
MEASURES = ("voi", "voi_split", "voi_merge", "are")
VOXEL = Voxel(z=10.0, y=10.0, x=10.0)
TRAIN, VALIDATION, TEST = slice(0, 60), slice(60, 90), slice(90, 120)
EDGE: Mapping[int, int] = {10: 79, 25: 125, 100: 250}
"""Width and height, in voxels, of the labelled box by percent of the training part."""


def main() -> None:
    """Fills in what is missing, seed after seed, then writes the table."""
    options = _options()
    if not options.only_table:
        volume = opened(options.data)
        write_json(options.results / "references.json", references(volume))
        for seed in options.seeds:
            for row in options.rows:
                measure(row, seed, volume, options)
    write_text(HERE / "README.md", table(options.results))


def measure(row: str, seed: int, volume: Fib25, options: argparse.Namespace) -> None:
    """Pre-trains once, and fine-tunes and scores at each label budget whose result is not there."""
    missing = [share for share in options.shares if not _result(options, row, share, seed).exists()]
    if not missing:
        return
    recipe, preset, _ = ROWS[row]
    config: Any = load_recipe(recipe).presets()[preset]
    fabric = launch(options.device)
    work = options.work / f"{row}-{seed}"
    encoder, before = pretrained(row, seed, volume, fabric, options) if config.pretrain.steps else (None, 0)
    after = within_budget(
        lambda run, count: train_only(run, problem_of(config, volume, 100), config.finetune, count),
        work / "after.json", fabric, options.budget[1],
    )  # fmt: skip
    for share in missing:
        run = open_run(work / f"finetune-{share}", recipe, config, seed, fabric)
        settings = override(config.finetune, {"steps": after})
        neurons.learn(run, problem_of(config, volume, share), encoder, settings, config.decode)
        found = {
            "row": row,
            "share": share,
            "seed": seed,
            "minutes": options.budget,
            "steps": [before, after],
            "hardware": hardware(fabric.device),
            **judged(run.path, config, volume, fabric),
        }
        write_json(_result(options, row, share, seed), found)
        write_text(HERE / "README.md", table(options.results))
        print(row, share, seed, found["steps"], found["test"], flush=True)
    shutil.rmtree(work)


def pretrained(
    row: str, seed: int, volume: Fib25, fabric: Any, options: argparse.Namespace
) -> tuple[Weights, int]:
    """What a row's fine-tunings start from, and its steps."""
    recipe, preset, _ = ROWS[row]
    module: Any = load_recipe(recipe)
    config, work = module.presets()[preset], options.work / f"{row}-{seed}"
    unlabelled = problem_of(config, volume, 100).unlabelled

    def train(run: Run, count: int) -> Weights:
        return module.pretrain(run, unlabelled, override(config.pretrain, {"steps": count}))

    steps = within_budget(train, work / "before.json", fabric, options.budget[0])
    return train(open_run(work / "pretrain", recipe, config, seed, fabric), steps), steps


def train_only(run: Run, problem: neurons.Problem, settings: neurons.Finetune, count: int) -> None:
    """Fine-tuning without what follows it, to tell the seconds of a step."""
    network = neurons.build(problem.network, len(problem.offsets), isotropic=problem.isotropic)
    neurons.finetune(
        run, run.stage("finetune"), network, problem.block, problem.offsets,
        override(settings, {"steps": count}), isotropic=problem.isotropic,
    )  # fmt: skip


def within_budget(train: Callable[[Run, int], Any], kept: Path, fabric: Any, minutes: float) -> int:
    """The steps that a budget holds: two short trainings tell a step apart from what is done once.

    The number is kept, so that a row that was stopped goes on as it began.
    """
    if kept.exists():
        return int(read_json(kept)["steps"])
    spent: list[float] = []
    clock = stopwatch(fabric.device)
    for count in (4, 12):
        run = open_run(kept.parent / f"trial-{count}", "trial", None, 0, fabric)
        began = clock()
        train(run, count)
        spent.append(clock() - began)
        shutil.rmtree(run.path)
    steps = max(10, round(minutes * 60 * 8 / max(spent[1] - spent[0], 1e-3)))
    write_json(kept, {"steps": steps})
    return steps


@dataclass(frozen=True, eq=False)
class Fib25:
    """Grey values, true labels, and the two segmentations that come with them, each `(z, y, x)`."""

    image: Array
    labels: Array
    fragments: Array
    ffn: Array


def opened(data: Path) -> Fib25:
    """All of the data."""
    (record,), _ = load_volumes(Path(f"{data / STEM}_raw.tif"), voxel=VOXEL)
    names = ("neurons", "neuroproof_oversegmentation", "ffn_prediction")
    return Fib25(
        neurons.grey(record.image), *(read_labels(Path(f"{data / STEM}_{each}.tif")) for each in names)
    )


def problem_of(config: Any, volume: Fib25, share: int) -> neurons.Problem:
    """The volume with this percent of the training part labelled; the same validation part for all."""
    isotropic = neurons.is_isotropic(config.network, VOXEL)
    small = box(TRAIN, EDGE[share])
    train = neurons.Part(small, volume.labels[small])
    kept = neurons.Part(box(VALIDATION), neurons.parted(volume.labels[VALIDATION]))
    block = neurons.Block(volume.image, train, kept)
    offsets = neurons.offsets_of(config.network, isotropic=isotropic)
    return neurons.Problem("fib25", block, isotropic, offsets, config.network)


def judged(run: Path, config: Any, volume: Fib25, fabric: Any) -> dict[str, Any]:
    """Scores of the test part at the tuned threshold, at the best one, and with the given fragments."""
    segmenter = neurons.load_segmenter(run / "model", fabric)
    known, maps = (segmenter.within(volume.image, box(part)) for part in (VALIDATION, TEST))
    truth = neurons.parted(volume.labels[TEST])
    best = neurons.tune(segmenter.decoder, maps, truth, config.decode.thresholds)[1]
    tuned = read_json(next(run.glob("*-tune")) / "done.json")
    return {
        "threshold": tuned["threshold"],
        "validation": lowest(tuned["curve"]),
        "test": neuron_scores(segmenter.decoder(maps).labels, truth),
        "oracle": lowest(best),
        "given_fragments": given(known, maps, volume, config.decode),
    }


def given(known: Affinities, maps: Affinities, volume: Fib25, decode: neurons.Decode) -> dict[str, float]:
    """NeuroProof's fragments joined by the same affinities, with a threshold from the validation part."""
    thresholds = np.linspace(0.02, 0.98, decode.thresholds)
    scores: list[list[dict[str, float]]] = []
    for part, affinities in ((VALIDATION, known), (TEST, maps)):
        own, truth = neurons.parted(volume.fragments[part]), neurons.parted(volume.labels[part])
        graph = region_graph(own, affinities, histograms=decode.linkage == "median")
        tree = agglomerate(graph, decode.linkage)
        scores.append([neuron_scores(relabel(own, tree.cut(float(each))), truth) for each in thresholds])
    return scores[1][int(np.argmin([row["voi"] for row in scores[0]]))]


def lowest(curve: Sequence[dict[str, float]]) -> dict[str, float]:
    """The scores at the threshold with the lowest variation of information."""
    return min(curve, key=lambda row: row["voi"])


def box(sections: slice, edge: int = EDGE[100]) -> tuple[slice, ...]:
    """The middle of these sections."""
    first = (EDGE[100] - edge) // 2
    return sections, slice(first, first + edge), slice(first, first + edge)


def open_run(path: Path, recipe: str, config: Any, seed: int, fabric: Any) -> Run:
    """A run of its own for each training."""
    settings = {} if config is None else config.model_dump(mode="json")
    return Run.open(path, recipe=recipe, config=settings, data={}, seed=seed, fabric=fabric)


def stopwatch(device: torch.device) -> Callable[[], float]:
    """Time of the process on a CPU, which others on the machine do not change; else of the clock."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def hardware(device: torch.device) -> str:
    """The processor and the number of its cores that this process may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, no GPU"


def references(volume: Fib25) -> dict[str, dict[str, float]]:
    """Scores of the segmentations that come with the data, on the test part."""
    truth = neurons.parted(volume.labels[TEST])
    given = {"over-segmentation as given": volume.fragments, "FFN prediction as given": volume.ffn}
    return {name: neuron_scores(array[TEST], truth) for name, array in given.items()}


def table(results: Path) -> str:
    """The results as Markdown."""
    text = [(HERE / "head.md").read_text()]
    found = [read_json(file) for file in sorted(results.glob("*min-*.json"))]
    if not found:
        return "\n".join([*text, "No result is committed yet.", ""])
    for minutes in sorted({tuple(each["minutes"]) for each in found}):
        own = [each for each in found if tuple(each["minutes"]) == minutes]
        text += [f"## {minutes[0]:g} minutes of pre-training, {minutes[1]:g} of fine-tuning", ""]
        for score, title in (("voi", "VOI, bits"), ("are", "adapted Rand error")):
            text += [*_cells(own, score, title), ""]
        text += [*_details(own), ""]
    known = read_json(results / "references.json")
    text += ["Segmentations that come with the data, on the same test part:", ""]
    text += ["| | VOI | split | merge | ARE |", "|---" * 5 + "|"]
    for name, row in known.items():
        text.append(f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in MEASURES)} |")
    machines = sorted({each["hardware"] for each in found})
    return "\n".join([*text, "", f"Hardware: {'; '.join(machines)}.", ""])


def _cells(found: Sequence[Mapping[str, Any]], score: str, title: str) -> list[str]:
    shares = [share for share in EDGE if any(each["share"] == share for each in found)]
    text = [f"| {title} | {' | '.join(f'{share} % of the labels' for share in shares)} |"]
    text.append("|---" * (len(shares) + 1) + "|")
    for row, (_, _, name) in ROWS.items():
        own = [each for each in found if each["row"] == row]
        cells = [_mean(each["test"][score] for each in own if each["share"] == share) for share in shares]
        text += [f"| {name} | {' | '.join(cells)} |"] if own else []
    return text


def _details(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is behind each cell: split and merge, the oracle's threshold, the given fragments, the steps."""
    text = ["| row | labels | seeds | split | merge | VOI, oracle threshold | VOI, given fragments | steps |"]
    text.append("|---" * 8 + "|")
    for row, (_, _, name) in ROWS.items():
        for share in EDGE:
            own = [each for each in found if (each["row"], each["share"]) == (row, share)]
            if not own:
                continue
            split, merge = (_mean(each["test"][f"voi_{key}"] for each in own) for key in ("split", "merge"))
            oracle, other = (_mean(each[key]["voi"] for each in own) for key in ("oracle", "given_fragments"))
            steps = " + ".join(str(count) for count in own[0]["steps"])
            cells = [name, f"{share} %", str(len(own)), split, merge, oracle, other, steps]
            text.append(f"| {' | '.join(cells)} |")
    return text


def _mean(values: Iterable[float]) -> str:
    every = list(values)
    if not every:
        return ""
    spread = f" ± {np.std(every, ddof=1):.3f}" if len(every) > 1 else ""
    return f"{np.mean(every):.3f}{spread}"


def _result(options: argparse.Namespace, row: str, share: int, seed: int) -> Path:
    before, after = options.budget
    return options.results / f"{row}-{share}-{before:g}+{after:g}min-{seed}.json"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--budget", type=float, nargs=2, default=[5.0, 4.0], help="minutes of pre-training and fine-tuning"
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--shares", nargs="+", type=int, choices=EDGE, default=list(EDGE))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only-table", action="store_true", help="measure nothing, write the table anew")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks-neurons-em"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
