"""Measures whether labelling what `label_next.csv` ranks first beats labelling at random; CPU minutes.

    python benchmarks/cupre/label_next.py --data DATA --seeds 0 1 2 3 4

DSB2018, split as in table.py. Of each seed one image is labelled at first, drawn at random. A small U-Net
learns from it, the recipe ranks the rest by doubt and novelty, and its first images get labels, too, or as
many images drawn at random, by chance alone or balanced over modalities. From each of these sets of labels a
new network of the same kind learns with the same steps, and is scored on the test third. The network is a
cheap stand-in for preset `best`: the same front end, loss and decoding, fewer channels and steps, and nothing
but labelled crops. Sizes are estimated once, without labels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Problem, opened
from torch import nn

from morula.core.files import write_json, write_text
from morula.core.rng import Rng
from morula.core.types import Record
from morula.data.budget import few_shot_order
from morula.engine import Run, hardware, launch, read_json, seeded
from morula.metrics import bootstrap_mean, instance_scores
from morula.nets import UNet2d
from morula.post import drop_small
from morula.recipes.cupre.batches import Example, mixed_crops
from morula.recipes.cupre.label_next import advise, describe, doubt
from morula.tasks.cells.decode import Verdict, level_of, segmentation, to_shape
from morula.tasks.cells.front import Prepared, fit_sizes
from morula.tasks.cells.pseudo import Pseudo, targets
from morula.tasks.cells.standard import prepare
from morula.tasks.cells.student import Course, fit_student, maps_of

HERE = Path(__file__).parent
DIAMETER = 22.0
WIDTHS = (20, 40, 60)
CHOICES = {"advice": "what the recipe ranks first", "random": "at random", "balanced": "balanced at random"}
HEAD = """\
# Label these next: the recipe's choice against chance

Made by `python benchmarks/cupre/label_next.py --data DATA --draws 3` from `label_next.json`. DSB2018, one
random image labelled at first, then as many more as the column says, and a new small network. TP/(TP+FP+FN)
at IoU .5 on the test third, mean ± standard deviation over seeds; a gain is the mean over seeds of what the
choice has more than the mean of the random draws, with the 95 % interval of a bootstrap over the seeds.
"""


@dataclass(frozen=True, eq=False)
class Bench:
    """The images at the common scale, and how networks learn from them."""

    problem: Problem
    steps: int
    fabric: Any

    @cached_property
    def prepared(self) -> dict[str, Prepared]:
        """All images; sizes come from the train part."""
        pixels = {each.id: each.image.read_yxc() for each in self.problem.train}
        sizes, found = fit_sizes([*pixels.values()])
        ready = {
            name: prepare(image, sizes, DIAMETER, size)
            for (name, image), size in zip(pixels.items(), found, strict=True)
        }
        test = {each.id: prepare(each.image.read_yxc(), sizes, DIAMETER) for each in self.problem.test}
        return {**ready, **test}

    @cached_property
    def examples(self) -> dict[str, Example]:
        """What is learned from an image once it has labels."""
        return {each.id: self._example(each) for each in self.problem.train}

    def _example(self, record: Record) -> Example:
        image = self.prepared[record.id]
        assert record.labels is not None
        shape = (image.density.shape[0], image.density.shape[1])
        labels = drop_small(to_shape(record.labels(), shape), 1)
        certain = Pseudo(labels, np.ones(int(labels.max(initial=0))))
        return Example(image.modality, image.network_input, targets(certain, labels > 0), labels)

    def network(self, names: Sequence[str], seed: int) -> nn.Module:
        """A new network that learned from these images."""
        labelled = [self.examples[name] for name in names]
        with seeded(Rng(seed, "network")):
            teacher = self.fabric.to_device(UNet2d(4, 2, WIDTHS))
        with tempfile.TemporaryDirectory() as scratch:
            run = Run.open(
                Path(scratch) / "run", recipe="cupre", config={}, data={}, seed=seed, fabric=self.fabric
            )
            crops = run.rng("crops")
            fit_student(
                run, run.stage("train"), teacher,
                lambda index: mixed_crops(
                    labelled, [], crops, index, batch=4, size=128, share=0.0, pasted=0.5
                ),
                Course(self.steps, 3e-3, 0.98),
            )  # fmt: skip
        return teacher

    def ranking(self, network: nn.Module, labelled: Sequence[str]) -> list[str]:
        """The images without labels, in the order of label_next.csv."""
        rest = [each.id for each in self.problem.train if each.id not in labelled]
        doubts = {
            name: doubt(maps_of(network, self.prepared[name], self.fabric, augment=False)[0]) for name in rest
        }
        looks = {each.id: describe(self.prepared[each.id]) for each in self.problem.train}
        return [each.image for each in advise(doubts, looks, labelled)]

    def score(self, network: nn.Module) -> float:
        """Mean TP/(TP+FP+FN) at IoU .5 over the test images."""
        found: list[float] = []
        for record in self.problem.test:
            assert record.labels is not None
            image = self.prepared[record.id]
            maps = maps_of(network, image, self.fabric, augment=False)
            verdict = Verdict(level_of(image), failed=False)
            ours = segmentation(image, *maps, DIAMETER, record.image.read_yxc(), verdict)
            found.append(instance_scores(ours.labels, record.labels())["ap50"])
        return float(np.mean(found))


def main() -> None:
    """Fills in the seeds that are missing, then writes the table."""
    options = _options()
    kept: dict[str, Any] = read_json(options.out) if options.out.exists() else {"seeds": {}}
    fabric = launch(options.device)
    bench = Bench(opened(options.data, "dsb2018", part=options.part), options.steps, fabric)
    for seed in options.seeds:
        if str(seed) not in kept["seeds"]:
            kept["seeds"][str(seed)] = one_seed(bench, seed, options)
            kept |= {"hardware": hardware(fabric.device), "steps": options.steps}
            write_json(options.out, kept)
            print(seed, kept["seeds"][str(seed)], flush=True)
    write_text(options.out.with_suffix(".md"), table(kept))


def one_seed(bench: Bench, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Scores by choice and number of added labels; of the random choices one for each draw."""
    names = sorted(each.id for each in bench.problem.train)
    first = [names[int(Rng(seed, "first").at(0).integers(len(names)))]]
    begin = bench.network(first, seed)
    advice = bench.ranking(begin, first)
    rest = [name for name in names if name not in first]
    strata = {name: kind for name, kind in bench.problem.strata.items() if name in rest}
    draws = range(options.draws)

    def shuffled(draw: int) -> list[str]:
        return [rest[place] for place in Rng(seed, f"random/{draw}").at(0).permutation(len(rest))]

    orders: Mapping[str, list[list[str]]] = {
        "advice": [advice],
        "random": [shuffled(draw) for draw in draws],
        "balanced": [few_shot_order(strata, Rng(seed, f"balanced/{draw}")) for draw in draws],
    }
    scores = {
        choice: {
            str(count): [bench.score(bench.network([*first, *order[:count]], seed)) for order in some]
            for count in options.added
        }
        for choice, some in orders.items()
    }
    return {"first": first[0], "start": bench.score(begin), "chosen": advice[: max(options.added)], **scores}


def table(kept: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    seeds: list[dict[str, Any]] = list(kept["seeds"].values())
    counts = list(seeds[0]["advice"])
    text = [HEAD, f"| labels added | {' | '.join(counts)} |", "|---" * (len(counts) + 1) + "|"]
    for choice, title in CHOICES.items():
        means = [[float(np.mean(each[choice][count])) for each in seeds] for count in counts]
        cells = [
            f"{np.mean(each):.3f} ± {np.std(each, ddof=1 if len(each) > 1 else 0):.3f}" for each in means
        ]
        text.append(f"| {title} | {' | '.join(cells)} |")
    for choice in ("random", "balanced"):
        cells = []
        for count in counts:
            gains = [each["advice"][count][0] - float(np.mean(each[choice][count])) for each in seeds]
            found = bootstrap_mean(np.array(gains), Rng(0, "table").at(0))
            cells.append(f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
        text.append(f"| gain over {CHOICES[choice]} | {' | '.join(cells)} |")
    start = float(np.mean([each["start"] for each in seeds]))
    text += [
        "",
        f"With the first image alone {start:.3f}. {len(seeds)} seeds, {len(seeds[0]['random'][counts[0]])}",
    ]
    text[-1] += f" random draws each, {kept['steps']} steps. Hardware: {kept['hardware']}.\n"
    return "\n".join(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--added", nargs="+", type=int, default=[4], help="labels added to the first")
    parser.add_argument("--draws", type=int, default=2, help="random choices of each kind and seed")
    parser.add_argument("--steps", type=int, default=120, help="of a network")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--part", choices=["test", "tune"], default="test", help="tune: without the test third"
    )
    parser.add_argument("--out", type=Path, default=HERE / "label_next.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
