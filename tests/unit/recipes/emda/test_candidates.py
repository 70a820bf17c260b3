from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from torch import nn

from morula.core.types import Array
from morula.metrics import Packed, Verdict, solidity
from morula.recipes.emda import candidates
from morula.recipes.emda.candidates import Judgement, candidate_files, chosen, judge, keep
from morula.recipes.emda.domains import Domain, Domains
from synthetic import em_stack


def judgement(step: int, distance: float, composite: float, *objections: str) -> Judgement:
    return Judgement(step, 0.9, distance, composite, {}, {}, {}, objections, 0.1)


def truth_judged(domains: Domains, truth: Array) -> Judgement:
    """The judgement of a network that predicts the truth."""
    return judge([Path("1.safetensors")], lambda _: [truth.astype(np.float32)], domains)[0]


@pytest.mark.parametrize(("steps", "count"), [(10, 3), (7, 7), (100, 10), (3, 10)])
def test_checkpoints_are_evenly_spaced_and_the_last_is_one(tmp_path: Path, steps: int, count: int) -> None:
    stage = cast(Any, SimpleNamespace(path=tmp_path))
    for done in range(1, steps + 1):
        keep(stage, nn.Linear(1, 1), done, steps, count)
    kept = [int(file.stem) for file in candidate_files(stage)]
    assert len(kept) == min(steps, count)
    assert kept[-1] == steps
    assert max(np.diff([0, *kept])) - min(np.diff([0, *kept])) <= 1


def test_each_criterion_takes_its_own() -> None:
    rows = [judgement(n, d, c) for n, d, c in [(1, 0.3, -5), (2, 0.0, -1), (3, 0.1, -2), (4, 0.2, -3)]]
    assert chosen(rows, "last").step == 4
    assert chosen(rows, "solidity").step == 3  # step 2 is closer, but only every second one is looked at
    assert chosen(rows, "composite").step == 3  # step 2 scores higher, but training had not settled


def test_the_composite_goes_back_where_the_end_of_training_is_implausible() -> None:
    rows = [judgement(1, 0.3, -5), judgement(2, 0.2, -9), *(judgement(n, 0, -101, "empty") for n in (3, 4))]
    assert chosen(rows, "composite").step == 1


def test_the_truth_is_judged_better_than_nothing_and_than_specks() -> None:
    image, mask = em_stack(0, size=160, sections=3)
    other, truth = em_stack(1, size=160, sections=3)
    specks = (np.random.default_rng(0).random(truth.shape) < 0.1).astype(np.float32)
    answers = {1: np.zeros(truth.shape, np.float32), 2: specks, 3: truth.astype(np.float32)}
    domains = Domains(Domain((image,), (mask,), (1.0,)), Domain((other,), (), (1.0,)), common=True)
    files = [Path(f"{step:07d}.safetensors") for step in answers]
    judged = judge(files, lambda file: [answers[int(file.stem)]], domains)
    assert chosen(judged, "composite").step == 3
    assert judged[0].objections
    assert judged[2].solidity == pytest.approx(solidity(truth))
    assert judged[2].distance == pytest.approx(abs(solidity(truth) - solidity(mask)))
    assert Judgement.of_json(judged[2].as_json()) == judged[2]


def test_sections_overlap_as_those_of_the_source_that_are_as_far_apart() -> None:
    image, mask = em_stack(0, size=96, sections=3)
    thin = Domain((image.repeat(4, axis=0),), (mask.repeat(4, axis=0),), (1.0,), depth_nm=10.0)
    found = truth_judged(Domains(thin, Domain((image,), (), (1.0,), depth_nm=40.0), common=True), mask)
    assert found.measured["overlap"] == pytest.approx(found.expected["overlap"])
    assert found.reasons["overlap"] == pytest.approx(0)


def test_the_band_around_an_outline_is_as_wide_as_objects_are_in_pixels() -> None:
    """Sizes in nm, alike or not, change neither where edges are looked for nor what is found there."""
    image, mask = em_stack(0, size=160, sections=2)
    source, target = Domain((image,), (mask,), (1.0,)), Domain((image,), (), (1.0,))
    edges = {
        nm: truth_judged(Domains(source, target, common=True, pixel_nm=nm), mask).measured["edges"]
        for nm in (None, 8.0)
    }
    assert edges[8.0] == edges[None]
    sized = [replace(each, stored_nm=(16.0,)) for each in (source, target)]
    assert truth_judged(Domains(*sized, common=False), mask).measured["edges"] == edges[None]


def test_areas_of_pixels_that_are_not_resampled_are_compared_in_nm() -> None:
    image, mask = em_stack(0, size=96, sections=2)
    large = [np.kron(each, np.ones((1, 3, 3), each.dtype)) for each in (image, mask)]
    fine = Domain((large[0],), (large[1],), (1.0,), stored_nm=(4.0,))
    coarse = Domain((image,), (), (1.0,))
    known = truth_judged(Domains(fine, replace(coarse, stored_nm=(12.0,)), common=False), mask)
    unknown = truth_judged(Domains(fine, coarse, common=False), mask)
    assert known.reasons["area"] < 0.1 < 1 < unknown.reasons["area"]
    assert unknown.objections and not known.objections


def test_what_all_checkpoints_predict_is_kept_in_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = em_stack(0, size=96, sections=2)
    kept: list[Packed] = []

    def no_vote(verdicts: list[Verdict], masks: Packed) -> list[Verdict]:
        kept.append(masks)
        return verdicts

    monkeypatch.setattr(candidates, "with_consensus", no_vote)
    domains = Domains(Domain((image,), (mask,), (1.0,)), Domain((image,), (), (1.0,)), common=True)
    judge([Path(f"{step}.safetensors") for step in (1, 2, 3)], lambda _: [mask.astype(np.float32)], domains)
    assert [sum(each.nbytes for each in packed.bits) for packed in kept] == [3 * mask.size // 8]
    assert all(np.array_equal(each, mask.ravel() > 0) for each in kept[0])
