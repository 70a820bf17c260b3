"""Pre-training: steps A and B in turn, or one of the controls of that alternation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor
from torchvision.models.detection import MaskRCNN

from morula.core.errors import UsageError
from morula.core.hashing import file_sha256
from morula.core.types import Array
from morula.engine import Run, Stage, Weights, WeightsInfo, cosine, fit, once, seeded
from morula.recipes.cupre.paper.amt2 import Amt2, detector_of
from morula.recipes.cupre.paper.config import Objective, PaperConfig
from morula.recipes.cupre.paper.images import NaturalImages, Scenes
from morula.recipes.cupre.paper.start import named, start_from
from morula.recipes.cupre.paper.views import Views, two_views

__all__ = ["ALONE", "Turn", "pretrain", "turn_of"]

ALONE = "No natural images were given (--natural): the backbone learns by momentum contrast alone."
"""What a run says that leaves out step B."""

_Steps = Literal["A", "B", "AB", "A+B"]
_STEPS: Mapping[Objective, _Steps] = {"amt2": "AB", "contrast": "A", "detect": "B", "sum": "A+B"}
_ON_NATURAL: tuple[Objective, ...] = ("detect", "sequence", "sum")


class Turn(NamedTuple):
    """What one iteration does, and where it is in its schedule.

    Attributes:
        steps: A, B, A and then B, or one for the sum of both losses.
        at: number of the iteration in the schedule of the learning rate.
        of: iterations of that schedule.
    """

    steps: _Steps
    at: int
    of: int


class _Pair(NamedTuple):
    views: Views | None
    scenes: Scenes | None


def turn_of(config: PaperConfig, iteration: int) -> Turn:
    """What iteration `iteration` does.

    In a sequence the first half of the iterations are steps B and the second half steps A, each half with a
    schedule of its own.

    >>> config = PaperConfig(objective="sequence", natural="coco.json", iterations=4)
    >>> [(turn_of(config, each).steps, turn_of(config, each).at) for each in range(4)]
    [('B', 0), ('B', 1), ('A', 0), ('A', 1)]
    """
    whole = config.iterations
    if not config.natural:
        return Turn("A", iteration, whole)
    if config.objective == "sequence":
        half = whole // 2
        return Turn("B", iteration, half) if iteration < half else Turn("A", iteration - half, whole - half)
    return Turn(_STEPS[config.objective], iteration, whole)


def pretrain(run: Run, cells: Sequence[Array], config: PaperConfig) -> MaskRCNN:
    """A detector that has learned what the objective says, from random weights or from those that are named.

    Args:
        run: that keeps the stage.
        cells: each `(3, y, x)`, normalised.
        config: of the recipe.

    Raises:
        UsageError: the objective is about natural images, and there are none, or the weights that are named
            are of another detector.
        DataError: the natural images or the weights cannot be used.
        ResourceError: the weights cannot be downloaded.
    """
    if not config.natural and config.objective in _ON_NATURAL:
        found = f"pre-training by {config.objective} learns from natural images, and none are named"
        raise UsageError("objective", found, "add --natural with a COCO JSON file")
    natural = NaturalImages(Path(config.natural)) if config.natural else None
    classes = 2 if natural is None else len(natural.categories) + 1
    start = once(run.fabric, lambda: named(config))
    stage = run.stage(
        "pretrain",
        natural=None if natural is None else file_sha256(config.natural),
        weights=None if start is None else start.checksum,
    )
    path = stage.path / "network.safetensors"
    if stage.done:
        network = detector_of(config, classes)
        Weights.load(path).load_into(network)
        return network
    with seeded(stage.rng("weights")):
        network = detector_of(config, classes)
        fate = None if start is None else start_from(run, start, network, config)
        amt2 = Amt2(run.fabric, config, network, stage.rng("queue"))
    if config.objective != "none":
        if natural is None:
            run.console.print(ALONE)
        _fit(stage, amt2, cells, natural, config)
    parents = () if start is None else (start.name,)
    Weights.of(network, WeightsInfo("mask-rcnn", parents=parents)).save(path)
    stage.finish(
        cells=len(cells),
        natural=0 if natural is None else len(natural),
        categories=0 if natural is None else len(natural.categories),
        weights=fate,
    )
    return network


def _fit(
    stage: Stage, amt2: Amt2, cells: Sequence[Array], natural: NaturalImages | None, config: PaperConfig
) -> None:
    views, scenes = stage.rng("views"), stage.rng("natural")

    def batches(index: int) -> _Pair:
        steps = turn_of(config, index).steps
        seen = two_views(cells, views, index, batch=config.views, size=config.view) if "A" in steps else None
        if natural is None or "B" not in steps:
            return _Pair(seen, None)
        crops = natural.scenes(scenes, index, batch=config.natural_batch, size=config.natural_crop)
        return _Pair(seen, crops)

    def step(pair: _Pair) -> dict[str, Tensor]:
        turn = turn_of(config, amt2.state.step)
        of_contrast, of_detect = (
            cosine(rate, turn.at, turn.of, warmup=turn.of // 20)
            for rate in (config.contrast_lr, config.detect_lr)
        )
        losses: dict[str, Tensor] = {}
        if turn.steps == "A+B" and pair.views is not None and pair.scenes is not None:
            losses["contrast"], losses["detect"] = amt2.step_sum(pair.views, pair.scenes, of_detect)
            return losses
        if pair.views is not None:
            losses["contrast"] = amt2.step_a(pair.views, of_contrast)
        if pair.scenes is not None:
            losses["detect"] = amt2.step_b(pair.scenes, of_detect)
        return losses

    fit(step, batches, amt2.state, config.iterations, stage)
