"""What the committed results of cupre's benchmark say is what its pages say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark_scripts import BENCHMARKS, loaded

FOLDER = BENCHMARKS / "cupre"


def test_the_pages_follow_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, "cupre", "protocol")
    table, label_next = loaded(monkeypatch, "cupre", "table"), loaded(monkeypatch, "cupre", "label_next")
    assert table.table(FOLDER / "results") == (FOLDER / "README.md").read_text()
    kept = json.loads((FOLDER / "label_next.json").read_text())
    assert label_next.table(kept) == (FOLDER / "label_next.md").read_text()


def test_labelling_what_is_ranked_first_was_better_than_at_random() -> None:
    """Mean over five seeds, each with as many labels and the mean of several random draws."""
    seeds = json.loads((FOLDER / "label_next.json").read_text())["seeds"].values()
    assert len(seeds) >= 5
    for added in next(iter(seeds))["advice"]:
        gains = [each["advice"][added][0] - np.mean(each["random"][added]) for each in seeds]
        assert np.mean(gains) > 0


def test_best_is_ahead_of_its_control_and_of_the_peers_on_nuclei() -> None:
    """What the recipe's page claims of few labels: means over the draws of DSB2018's test third."""

    def mean(row: str, labels: int, score: str) -> float:
        found = sorted((FOLDER / "results").glob(f"dsb2018-{row}-{labels}-*.json"))
        assert len(found) == 3
        return float(np.mean([json.loads(path.read_text())["scores"][score] for path in found]))

    for labels in (5, 10):
        assert mean("best", labels, "AP") >= mean("unet", labels, "AP") + 0.08
    assert mean("best", 1, "AP") > mean("unet", 10, "AP")
    for labels in (1, 5, 10):
        assert mean("best", labels, "AP50") > max(
            mean(peer, labels, "AP50") for peer in ("cellpose", "stardist", "scratch")
        )
