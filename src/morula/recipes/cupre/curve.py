"""What more labels would bring: networks trained for short on nested draws, scored on images held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import nn

from morula.core.rng import Rng
from morula.core.types import Record, Segmentation, Volume
from morula.data.budget import few_shot_order
from morula.engine import Run, Stage
from morula.metrics import instance_scores
from morula.recipes.cupre.batches import Example, mixed_crops
from morula.recipes.cupre.config import CupreConfig
from morula.recipes.cupre.look import Look
from morula.recipes.cupre.predict import CuprePredictor
from morula.tasks.cells.batches import Batch
from morula.tasks.cells.controls import pseudo_only
from morula.tasks.cells.student import Course, fit_student

__all__ = ["STAGE", "drawn", "label_curve"]

STAGE = "labels"
"""What the names of the curve's stages begin with."""

_HELD = 6  # images that are scored, at most


def label_curve(
    run: Run,
    records: Sequence[Record],
    examples: Mapping[str, Example],
    look: Look,
    network: Callable[[], nn.Module],
    config: CupreConfig,
) -> None:
    """Tells what fewer labels would have given; nothing of it is used by the run's own model.

    Args:
        run: finished stages are skipped.
        records: all images.
        examples: the labelled ones as they are learned from, by id; with fewer than two there is no curve.
        look: of the run, to which all labels have contributed.
        network: gives a new one, the same each time.
        config: `budgets` labels, `budget_draws` times, `budget_steps` each.
    """
    labelled = {record.id: record for record in records if record.id in examples}
    kinds = {name: examples[name].kind for name in labelled}
    for turn in range(config.budget_draws if len(labelled) > 1 else 0):
        learned, held = drawn(kinds, run.rng(f"{STAGE}-{turn}"))
        for count in _counts(config.budgets, len(learned), pseudo=look.normalise):
            stage = run.stage(f"{STAGE}-{count}-{turn}")
            if stage.done:
                continue
            few = [examples[name] for name in learned[:count]]
            segment = (
                _taught(run, stage, few, look, network(), config)
                if few
                else partial(pseudo_only, priors=look.sizes, diameter=look.diameter)
            )
            stage.finish(labels=count, held=held, scores=[_score(segment, labelled[name]) for name in held])


def drawn(kinds: Mapping[str, str], rng: Rng) -> tuple[list[str], list[str]]:
    """Which labelled images are learned from, in the order in which they come, and which are held out.

    Args:
        kinds: modality of each of two images or more; both parts have their share of each.
        rng: of this draw.
    """
    held = few_shot_order(kinds, rng.child("held"))[1::3][:_HELD]
    rest = {name: kind for name, kind in kinds.items() if name not in held}
    return few_shot_order(rest, rng), held


def _taught(
    run: Run, stage: Stage, few: Sequence[Example], look: Look, network: nn.Module, config: CupreConfig
) -> CuprePredictor:
    """What a network segments that learned from these labels alone, for a short time."""
    crops = stage.rng("crops")

    def batches(index: int) -> Batch:
        return mixed_crops(
            few, [], crops, index, batch=config.batch, size=config.crop, share=0.0, pasted=config.paste
        )

    trained = network.to(run.fabric.device)
    fit_student(run, stage, trained, batches, Course(config.budget_steps, config.lr, config.momentum))
    return CuprePredictor(trained, look, frozenset(each.kind for each in few), config, run.fabric)


def _counts(budgets: Sequence[int], most: int, *, pseudo: bool) -> list[int]:
    """The numbers of labels to try, and all that there are; 0 only where pseudo labels can be made."""
    least = 0 if pseudo else 1
    return sorted({most, *(each for each in budgets if least <= each < most)}) if budgets else []


def _score(segment: Callable[[Volume], Segmentation], record: Record) -> float:
    assert record.labels is not None
    return instance_scores(segment(record.image).labels, record.labels())["ap50"]
