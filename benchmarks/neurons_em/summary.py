"""The results of the table as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from morula.engine import read_json

__all__ = ["asked", "markdown"]

Results = Sequence[Mapping[str, Any]]
MEASURES = ("voi", "voi_split", "voi_merge", "are")
MOST, FEW = 1.05, 1.6
"""Bits that `best` should stay below with all labels, and with a tenth of them."""


def markdown(head: str, results: Path, titles: Mapping[str, str]) -> str:
    """README.md: what is written by hand, then tables of all results that are there.

    Args:
        head: written by hand.
        results: folder of JSON files; `sections` and `mitochondria` beside it have those of these scripts.
        titles: of the rows, in their order.
    """
    found = [read_json(file) for file in sorted(results.glob("*min-*.json"))]
    if not found:
        return "\n".join([head, "No result is committed yet.", ""])
    text = [head]
    for budget, own in _by_budget(found):
        text += [f"## {budget}", ""]
        for score, name in (("voi", "VOI, bits"), ("are", "adapted Rand error")):
            text += [*_cells(own, score, name, titles), ""]
        text += [*asked(own), "", *_details(own, titles), ""]
    text += ["Segmentations that come with the data, on the same test part:", ""]
    text += ["| | VOI | split | merge | ARE |", "|---" * 5 + "|"]
    for name, row in read_json(results / "references.json").items():
        text.append(f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in MEASURES)} |")
    text += ["", *_sections(_read(results.parent / "sections"), titles)]
    text += _mitochondria(_read(results.parent / "mitochondria"), titles)
    machines = sorted({each["hardware"] for each in found})
    return "\n".join([*text, f"Hardware: {'; '.join(machines)}.", ""])


def asked(found: Results) -> list[str]:
    """What `best` should reach, beside what it does; a line needs the cells that it compares."""

    def voi(row: str, share: int, key: str = "test") -> float:
        return _mean([each[key]["voi"] for each in _of(found, row, share)])

    best, scratch = (lambda share: voi("best", share)), (lambda share: voi("scratch", share))
    lines: list[tuple[str, float, float]] = [
        (f"all labels: VOI at most {MOST}", best(100), MOST),
        (f"10 %: VOI at most {FEW}", best(10), FEW),
        ("10 %: at most that from scratch with 25 %", best(10), scratch(25)),
        ("10 %: at least a tenth below from scratch", best(10), 0.9 * scratch(10)),
        ("25 %: at least a tenth below from scratch", best(25), 0.9 * scratch(25)),
        (
            "all labels: below the given fragments joined by the same affinities",
            best(100),
            voi("best", 100, "given_fragments"),
        ),
    ]
    known = [line for line in lines if np.isfinite(line[1:]).all()]
    if not known:
        return ["`best` is not measured where something is asked of it."]
    text = ["| asked of `best` | measured | limit | |", "|---" * 4 + "|"]
    for name, value, limit in known:
        text.append(f"| {name} | {value:.3f} | {limit:.3f} | {'yes' if value <= limit else '**no**'} |")
    return text


def _read(folder: Path) -> Results:
    return [read_json(file) for file in sorted(folder.glob("*.json"))]


def _by_budget(found: Results) -> list[tuple[str, Results]]:
    """The results of each budget, and how it is called."""
    return [
        (
            f"{before:g} minutes of pre-training, {after:g} of fine-tuning",
            [each for each in found if each["minutes"] == [before, after]],
        )
        for before, after in sorted({tuple(each["minutes"]) for each in found})
    ]


def _sections(found: Results, titles: Mapping[str, str]) -> list[str]:
    text: list[str] = []
    for budget, own in _by_budget(found):
        text += [f"## Thick sections (ISBI 2012), {budget}", "", *_cells(own, "voi", "VOI, bits", titles), ""]
    return text


def _mitochondria(found: Results, titles: Mapping[str, str]) -> list[str]:
    text: list[str] = []
    for budget, trained in _by_budget(found):
        text += [f"## Mitochondria, {budget}", ""]
        text += ["| | labels | seeds | IoU | IoU per section | of each seed | steps |", "|---" * 7 + "|"]
        for begin, steps, own in _lines(trained, titles):
            scores = [_told(each["test"][key] for each in own) for key in ("iou", "iou_per_slice")]
            each = ", ".join(f"{result['test']['iou']:.3f}" for result in own)
            text.append(f"| {' | '.join([*begin, *scores, each, steps])} |")
        text.append("")
    return text


def _cells(found: Results, score: str, name: str, titles: Mapping[str, str]) -> list[str]:
    shares = sorted({each["share"] for each in found})
    text = [f"| {name} | {' | '.join(f'{share} % of the labels' for share in shares)} |"]
    text.append("|---" * (len(shares) + 1) + "|")
    for row, title in titles.items():
        cells = [_told(each["test"][score] for each in _of(found, row, share)) for share in shares]
        text += [f"| {title} | {' | '.join(cells)} |"] if any(cells) else []
    return text


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "split": lambda each: each["test"]["voi_split"],
    "merge": lambda each: each["test"]["voi_merge"],
    "VOI, oracle threshold": lambda each: each["oracle"]["voi"],
    "VOI, given fragments": lambda each: each["given_fragments"]["voi"],
}


def _details(found: Results, titles: Mapping[str, str]) -> list[str]:
    """What is behind each cell: split and merge, the oracle's threshold, the given fragments, the steps."""
    names = ("row", "labels", "seeds", *_COLUMNS, "steps", "s to predict", "s to decode")
    text = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for begin, steps, own in _lines(found, titles):
        seconds = [f"{_mean([each['seconds'][key] for each in own]):.1f}" for key in ("predict", "decode")]
        told = [_told(map(column, own)) for column in _COLUMNS.values()]
        text.append(f"| {' | '.join([*begin, *told, steps, *seconds])} |")
    return text


def _lines(found: Results, titles: Mapping[str, str]) -> Iterator[tuple[list[str], str, Results]]:
    """Of each row and label budget with results its first cells, its steps, and these results."""
    for (row, title), share in product(titles.items(), sorted({each["share"] for each in found})):
        if own := _of(found, row, share):
            steps = " + ".join(str(count) for count in own[0]["steps"])
            yield [title, f"{share} %", str(len(own))], steps, own


def _of(found: Results, row: str, share: float) -> Results:
    return [each for each in found if (each["row"], each["share"]) == (row, share)]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _told(values: Iterable[float]) -> str:
    every = list(values)
    if not every:
        return ""
    spread = f" ± {np.std(every, ddof=1):.3f}" if len(every) > 1 else ""
    return f"{np.mean(every):.3f}{spread}"
