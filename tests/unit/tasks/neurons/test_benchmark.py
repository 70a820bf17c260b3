"""The parts and rows of the benchmark of neurons keep what its table claims."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmark_scripts import loaded
from morula.core.files import write_json
from morula.core.rng import Rng
from morula.recipes import load_recipe


def volume(fib25: ModuleType) -> Any:
    """One neuron that leaves every part and comes back, in another one."""
    labels = np.ones((120, 250, 250), np.uint16)
    labels[:, :, 120:130] = 2
    return fib25.Fib25(Rng(0, "grey").at(0).random(labels.shape, dtype=np.float32), labels, labels, labels)


def test_parts_lie_apart_and_labels_are_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    fib25 = loaded(monkeypatch, "neurons_em", "fib25")
    whole, network = volume(fib25), load_recipe("mscon").presets()["best"].network  # type: ignore[attr-defined]
    taken = np.zeros((len(fib25.EDGE), *whole.labels.shape), bool)
    for place, share in zip(taken, fib25.EDGE, strict=True):
        block = whole.problem(network, share).block
        place[block.train.box] = True
        assert block.train.labels.size / (60 * 250 * 250) == pytest.approx(share / 100, rel=0.01)
        assert np.array_equal(block.train.labels, whole.labels[block.train.box])
        assert block.validation.box[0] == slice(60, 90)
        assert block.validation.labels.max() == 3
    assert all((small <= large).all() for small, large in pairwise(taken))
    assert not taken[:, 60:].any()
    assert fib25.TEST.stop - fib25.TEST.start == fib25.VALIDATION.stop - fib25.VALIDATION.start
    assert fib25.TEST.start == fib25.VALIDATION.stop


def test_what_comes_with_the_data_is_scored_by_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    fib25 = loaded(monkeypatch, "neurons_em", "fib25")
    assert {row["voi"] for row in fib25.references(volume(fib25)).values()} == {0.0}


def test_rows_differ_in_nothing_but_the_pre_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fib25", "summary"):
        loaded(monkeypatch, "neurons_em", name)
    rows = loaded(monkeypatch, "neurons_em", "table").ROWS
    assert [row.recipe for row in rows.values()].count(None) == 1
    told = {}
    for name, row in rows.items():
        if row.recipe:
            presets = load_recipe(row.recipe).presets()  # type: ignore[attr-defined]
            own = presets[row.preset]
            told[name] = own.pretrain.model_dump_json() + own.self_training.model_dump_json()
            assert own.network == presets["best"].network and own.finetune == presets["best"].finetune
            assert bool(own.self_training.steps) == row.segments == (name == "best")
    assert len(set(told.values())) == len(told) == 7


def cell(row: str, share: int, seed: int, voi: float) -> dict[str, Any]:
    scores = {"voi": voi, "voi_split": voi, "voi_merge": 0.0, "are": 0.25}
    keys = dict.fromkeys(("test", "oracle"), scores)
    return {"row": row, "share": share, "seed": seed, "given_fragments": {"voi": 1.0}, **keys}


def test_what_is_asked_is_judged_by_means_over_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = loaded(monkeypatch, "neurons_em", "summary")
    found = [cell("best", 10, seed, voi) for seed, voi in enumerate((1.4, 1.6))]
    assert [line.split(" | ")[1:] for line in summary.asked(found)[2:]] == [["1.500", "1.600", "yes |"]]
    found += [cell("scratch", 10, 0, 1.6), cell("scratch", 25, 0, 1.5), cell("best", 100, 0, 1.1)]
    lines = [line.split(" | ")[1:] for line in summary.asked(found)[2:]]
    assert lines == [
        ["1.100", "1.050", "**no** |"],
        ["1.500", "1.600", "yes |"],
        ["1.500", "1.500", "yes |"],
        ["1.500", "1.440", "**no** |"],
        ["1.100", "1.000", "**no** |"],
    ]
    assert len(summary.asked([cell("mae", 10, 0, 1.0)])) == 1


def test_parts_of_thick_sections_lie_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fib25", "summary", "table"):
        loaded(monkeypatch, "neurons_em", name)
    sections = loaded(monkeypatch, "neurons_em", "sections")
    labels = np.ones((30, 512, 300), np.uint16)
    whole = sections.Isbi(labels.astype(np.float32), labels)
    taken = np.zeros(labels.shape, int)
    network = load_recipe("mscon").presets()["best"].network  # type: ignore[attr-defined]
    for share in (10, 100):
        block = whole.problem(network, share).block
        assert block.train.labels.size / (10 * 512 * 300) == pytest.approx(share / 100, rel=0.01)
        assert np.array_equal(block.train.labels, whole.labels[block.train.box])
    for box in (block.train.box, block.validation.box, whole.box(sections.TEST)):
        taken[box] += 1
    assert (taken == 1).all()


def test_pages_of_sections_and_mitochondria_show_each_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = loaded(monkeypatch, "neurons_em", "summary")
    results = tmp_path / "results"
    timed = {"seconds": {"predict": 1.0, "decode": 1.0}}
    shared = {"minutes": [5, 4], "steps": [7, 9], "hardware": "abacus"}
    write_json(results / "scratch-10-5+4min-0.json", cell("scratch", 10, 0, 2.0) | shared | timed)
    write_json(results / "references.json", {})
    for seed, voi in enumerate((1.0, 2.0)):
        write_json(tmp_path / f"sections/best-10-{seed}.json", cell("best", 10, seed, voi) | shared)
        found = {"row": "best", "share": 5, "seed": seed, "test": {"iou": voi / 4, "iou_per_slice": 0.5}}
        write_json(tmp_path / f"mitochondria/best-5-{seed}.json", found | shared)
    page = summary.markdown("head", results, {"scratch": "Scratch", "best": "Best"})
    assert "| Best | 1.500 ± 0.707 |" in page
    assert "| Best | 5 % | 2 | 0.375 ± 0.177 | 0.500 ± 0.000 | 0.250, 0.500 | 7 + 9 |" in page


def test_the_few_labels_of_mitochondria_are_where_most_of_them_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fib25", "summary", "table"):
        loaded(monkeypatch, "neurons_em", name)
    mitochondria = loaded(monkeypatch, "neurons_em", "mitochondria")
    labels = np.zeros((10, 400, 200), np.uint16)
    labels[:, :200] = 1  # large, and nowhere whole
    for number, (y, x) in enumerate([(300, 160), (330, 170), (310, 190), (390, 10)], start=2):
        labels[:, y : y + 4, x : x + 4] = number
    box = mitochondria.fullest(labels, 0.05)
    assert labels[box].size / labels.size == pytest.approx(0.05, rel=0.02)
    assert set(np.unique(labels[box])) == {0, 3, 4, 2}
    assert box[0] == mitochondria.TRAIN and mitochondria.TRAIN.stop == mitochondria.TEST.start


def test_scores_of_a_large_pair_are_timed_without_any_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(monkeypatch, "neurons_em", "fib25")
    speed = loaded(monkeypatch, "neurons_em", "speed")
    truth = speed.waves((30, 60, 70), 14, 25)
    assert truth.dtype == np.int64 and len(np.unique(truth)) > 2 * 3 * 4
    assert speed.LARGE == (125, 1250, 1250)
    monkeypatch.setattr(speed, "LARGE", truth.shape)
    monkeypatch.setattr("sys.argv", ["speed.py", "--scores"])
    speed.main()
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("30 x 60 x 70 voxels")
    assert [line.split(":")[0] for line in told[1:]] == ["all voxels", "borders ignored"]
