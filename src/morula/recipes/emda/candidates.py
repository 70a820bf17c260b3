"""Checkpoints kept while training, judged on the target afterwards by three criteria without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from morula.core.types import Array
from morula.engine import Stage, Weights, WeightsInfo
from morula.metrics import solidity
from morula.metrics.appearance import edge_contrast, look, predictability
from morula.metrics.selection import (
    Packed,
    Shapes,
    Verdict,
    composite,
    normalised_entropy,
    shapes,
    with_consensus,
)
from morula.recipes.emda.config import Criterion
from morula.recipes.emda.domains import Domains

__all__ = ["Judgement", "candidate_files", "chosen", "judge", "keep"]

_VOTERS = 3  # fewest checkpoints whose consensus is evidence: two differ from each other alike
_TRIED = 2  # candidates; the published criterion looks at every second epoch


@dataclass(frozen=True)
class Judgement:
    """What the criteria say of one checkpoint.

    Attributes:
        step: how many steps it was trained.
        solidity: of its prediction on the target.
        distance: of that solidity from the source labels'; the published criterion takes the least.
        composite: score of Morula's criterion; the highest is best.
        reasons: term -> what it takes off that score.
        measured: term -> the value that was found.
        expected: term -> the value that would have taken nothing off; with `measured` and `reasons` the
            criterion can be studied without predicting again.
        objections: why it cannot be a segmentation of mitochondria; empty if it can.
        fraction: of the target that it calls mitochondrion.
    """

    step: int
    solidity: float
    distance: float
    composite: float
    reasons: Mapping[str, float]
    measured: Mapping[str, float]
    expected: Mapping[str, float]
    objections: tuple[str, ...]
    fraction: float

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def of_json(cls, row: Mapping[str, Any]) -> Judgement:
        """What `as_json` gave."""
        return cls(**{**row, "objections": tuple(row["objections"])})


def keep(stage: Stage, segmenter: nn.Module, done: int, steps: int, count: int) -> None:
    """Saves the weights after `done` of `steps` steps, if these are one of `count` evenly spaced moments."""
    if done * count // steps > (done - 1) * count // steps:
        path = _folder(stage) / f"{done:07d}.safetensors"
        Weights.of(segmenter, WeightsInfo("emda.segmenter")).save(path)


def candidate_files(stage: Stage) -> list[Path]:
    """The checkpoints of a finished training stage, first to last."""
    return sorted(_folder(stage).glob("*.safetensors"))


def judge(files: Sequence[Path], predict: Callable[[Path], list[Array]], domains: Domains) -> list[Judgement]:
    """Every checkpoint's morphology and evidence on the target, beside that of the source's labels.

    Args:
        files: of the checkpoints.
        predict: a checkpoint's foreground probability on each target volume, at the common pixel size.
        domains: source labels and target images.
    """
    (ours, theirs), gaps = domains.pixel_areas, domains.gaps
    prior = shapes(domains.source.masks, pixel_area=ours, gap=gaps[0])
    published = _mean_solidity(domains.source.masks)
    seen = look(domains.target.images)
    pixels = prior.area * (ours / theirs if ours and theirs else 1.0)
    alone: list[Verdict] = []
    bits: list[Array] = []
    solid: list[float] = []
    measured: list[Shapes] = []
    for file in files:
        maps = predict(file)
        masks = [each >= 0.5 for each in maps]
        shape = shapes(masks, pixel_area=theirs, gap=gaps[1])
        evidence = {
            "predictability": predictability(masks, seen),
            "edges": edge_contrast(masks, seen, area=pixels),
            "entropy": float(sum(map(normalised_entropy, maps)) / len(maps)),
        }
        alone.append(composite(shape, prior, evidence))
        bits.append(np.packbits(_joined(masks)))
        solid.append(_mean_solidity(masks))
        measured.append(shape)
    size = sum(stack.size for stack in domains.target.images)
    voted = with_consensus(alone, Packed(bits, size)) if len(alone) >= _VOTERS else alone
    return [
        Judgement(
            step=int(file.stem),
            solidity=value,
            distance=abs(value - published),
            composite=verdict.score,
            reasons={name: term.penalty for name, term in verdict.terms.items()},
            measured={name: term.value for name, term in verdict.terms.items()},
            expected={name: term.expected for name, term in verdict.terms.items()},
            objections=verdict.objections,
            fraction=shape.fraction,
        )
        for file, verdict, shape, value in zip(files, voted, measured, solid, strict=True)
    ]


def chosen(judged: Sequence[Judgement], criterion: Criterion) -> Judgement:
    """The checkpoint that a criterion takes: the last, the least distance of solidity, the highest score.

    The published criterion looks at every second checkpoint; of equals it keeps the first, as published.
    The composite looks at the second half of the training, where a schedule has settled and the average of
    the weights is one of trained networks, unless nothing there is plausible.
    """
    if criterion == "last":
        return judged[-1]
    if criterion == "solidity":
        return min(judged[::_TRIED], key=lambda each: each.distance)
    settled = [each for each in judged[len(judged) // 2 :] if not each.objections]
    return max(settled or judged, key=lambda each: each.composite)


def _folder(stage: Stage) -> Path:
    return stage.path / "candidates"


def _mean_solidity(masks: Sequence[Array]) -> float:
    return sum(map(solidity, masks)) / len(masks)


def _joined(masks: Sequence[Array]) -> Array:
    return np.concatenate([mask.ravel() for mask in masks])
