"""What choosing a checkpoint without labels costs, and which term of the composite earns its place.

    python benchmarks/emda/selection.py

Reads results/ alone: every checkpoint's terms are stored beside its IoU, so a criterion can be changed and
judged again without training. Prints the mean IoU lost to the oracle over all rows and seeds, its spread,
and the largest single loss; for the composite also without each of its terms, and over the whole training
instead of its second half.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morula.recipes.emda.candidates import Judgement, chosen
from morula.recipes.emda.config import Criterion

HERE = Path(__file__).parent
CRITERIA: tuple[Criterion, ...] = ("last", "solidity", "composite")
TERMS = ["area", "spread", "solidity", "fraction", "overlap", "predictability", "edges", "entropy", "dissent"]
NO_ADAPTATION = ("upper",)
Choice = Callable[[Sequence[Judgement]], int]


def picks(result: Mapping[str, Any]) -> dict[str, float]:
    """IoU of the checkpoint that each criterion takes from a result, and of the best there is."""
    judged = [Judgement.of_json(row) for row in result["candidates"]]
    trace = result["trace"]
    found = {name: trace[str(chosen(judged, name).step)] for name in CRITERIA}
    return {**found, "oracle": max(trace.values())}


def losses(results: Sequence[Mapping[str, Any]], choose: Choice) -> list[float]:
    """IoU lost to the oracle by a choice, one for each result; the upper bound is left out."""
    found: list[float] = []
    for result in results:
        if result["row"] not in NO_ADAPTATION:
            judged = [Judgement.of_json(row) for row in result["candidates"]]
            found.append(max(result["trace"].values()) - result["trace"][str(choose(judged))])
    return found


def variants() -> dict[str, Choice]:
    """The criteria, and what the composite would be without a part of it."""

    def by(criterion: Criterion) -> Choice:
        return lambda judged: chosen(judged, criterion).step

    return {
        **{name: by(name) for name in CRITERIA},
        "composite over the whole training": lambda judged: max(judged, key=lambda each: each.composite).step,
        **{f"composite without {term}": _without(term) for term in TERMS},
    }


def lines(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """A Markdown table of what the named variants lose."""
    found = {name: losses(results, choose) for name, choose in variants().items() if name in names}
    rows = ["| criterion | mean loss | spread | worst | runs |", "|---|---|---|---|---|"]
    for name, lost in found.items():
        if lost:
            spread = np.std(lost, ddof=1) if len(lost) > 1 else 0.0
            rows.append(f"| {name} | {np.mean(lost):.3f} | {spread:.3f} | {max(lost):.3f} | {len(lost)} |")
    return rows


def read(results: Path) -> list[dict[str, Any]]:
    """All results of a folder."""
    return [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]


def _without(term: str) -> Choice:
    def choose(judged: Sequence[Judgement]) -> int:
        rest = [replace(each, composite=each.composite + each.reasons.get(term, 0.0)) for each in judged]
        return chosen(rest, "composite").step

    return choose


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=HERE / "results")
    print("\n".join(lines(read(parser.parse_args().results), list(variants()))))
