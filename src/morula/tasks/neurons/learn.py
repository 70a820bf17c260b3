"""From a labelled block and, maybe, pre-trained weights to a segmenter: fine-tune, predict, tune, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from morula.core.affinities import Affinities, Offset
from morula.core.errors import UsageError
from morula.core.files import write_json
from morula.core.types import Record
from morula.data.affinities import write_affinities
from morula.engine import Run, Stage, Weights
from morula.tasks.neurons.block import Block, Dense, grey, is_scattered, middle, prepare
from morula.tasks.neurons.decode import Decoder, decoder_of, lowest, tune
from morula.tasks.neurons.finetune import finetuned, has_affinities
from morula.tasks.neurons.geometry import is_isotropic, offsets_of
from morula.tasks.neurons.judged import bordered, grey_scores
from morula.tasks.neurons.label_free import GREY_CONTROL
from morula.tasks.neurons.segmenter import save_segmenter, segmenter_of
from morula.tasks.neurons.self_training import taught
from morula.tasks.neurons.settings import Decode, Finetune, Network, laid
from morula.tasks.neurons.story import keep_section
from morula.tasks.neurons.unlabelled import Unlabelled

__all__ = ["Problem", "learn", "problem_of"]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be segmented, as every recipe for neurons takes it.

    Attributes:
        id: of the record.
        block: the volume with its labelled parts.
        isotropic: whether z is an axis like the others.
        offsets: of the affinities.
        network: settings of the network.
    """

    id: str
    block: Block
    isotropic: bool
    offsets: tuple[Offset, ...]
    network: Network

    @property
    def unlabelled(self) -> Unlabelled:
        """The same volume without its labels."""
        return Unlabelled((self.block.image,), self.isotropic, self.network)


def problem_of(records: Sequence[Record], network: Network, finetune: Finetune) -> Problem:
    """Reads the one record and decides what its voxel size decides.

    Raises:
        UsageError: several records, one without labels, or shares to be taken of scattered labels.
        DataError: the labelled block cannot be used.
    """
    if len(records) != 1:
        found = f"{len(records)} volumes; a neuron recipe learns from one and its labelled block"
        raise UsageError("VOLUME", found, "name one volume; `morula predict` then takes others")
    (record,) = records
    block = prepare(record, grey(record.image), finetune.validation)
    if finetune.budgets and is_scattered(block.train.labels):
        found = "labels are scattered, so that the middle of their box is no share of them"
        raise UsageError("finetune.budgets", found, "leave it empty, or label one block")
    isotropic = is_isotropic(network, record.image.voxel)
    return Problem(record.id, block, isotropic, offsets_of(network, isotropic=isotropic), network)


def learn(run: Run, problem: Problem, start: Weights | None, settings: Finetune, decode: Decode) -> None:
    """Fine-tunes, tunes the threshold on the validation part, and fills the run's `model` folder.

    A start that gives affinities already, as self-training leaves it, is not forgotten: beside crops of the
    labelled block come crops of the whole volume with the neurons that the start finds outside the block's
    training part, and the start itself becomes the model where it does better on the validation part.

    Then it does the same with each share of the labels in `settings.budgets`, for a curve and no model.

    Args:
        run: finished stages are skipped.
        problem: the volume and its labels.
        start: what the network starts from, None for a start from scratch.
        settings: of the training.
        decode: of the decoder.

    Raises:
        ValueError: a tensor of the start fits nowhere.
    """
    decode = laid(decode, problem.network, settings)
    segments = start is not None and has_affinities(start, problem.network, isotropic=problem.isotropic)
    replayed = cache(lambda: taught(run, problem.unlabelled, start, decode) if segments else [])
    stage = run.stage("finetune", settings=settings.model_dump(mode="json"))
    kept = stage.path / "network.safetensors"
    if not stage.done:
        _finetuned(run, stage, problem, problem.block, start, settings, replayed()).save(kept)
        stage.finish()
    candidates = {"fine-tuned": Weights.load(kept)}
    if start is not None and segments:
        candidates["start"] = start
    _tune(run, problem, candidates, decode)
    for share in settings.budgets:
        _budget(run, problem, start, settings, decode, share, replayed)


def _finetuned(
    run: Run,
    stage: Stage,
    problem: Problem,
    block: Block,
    start: Weights | None,
    settings: Finetune,
    replayed: Sequence[Dense],
) -> Weights:
    known = (np.count_nonzero(block.train.labels >= 0) / block.image.size) ** 0.5 if replayed else 1.0
    chances = [known, *[(1 - known) / len(replayed) for _ in replayed]]
    beside = [each.without(block.train) for each in replayed]
    return finetuned(
        run, stage, [block.known, *beside], settings, start,
        network=problem.network, isotropic=problem.isotropic, chances=chances,
    )  # fmt: skip


def _tuned(
    run: Run, problem: Problem, weights: Weights, decode: Decode
) -> tuple[Decoder, Affinities, list[dict[str, float]]]:
    """The decoder with its threshold, affinities of the validation part, and the scores there."""
    decoder, part = decoder_of(decode, isotropic=problem.isotropic), problem.block.validation
    segmenter = segmenter_of(
        weights, problem.network, decoder, decode, run.fabric, isotropic=problem.isotropic
    )
    affinities = segmenter.within(problem.block.image, part.box)
    tuned, rows = tune(decoder, affinities, part.labels, decode.thresholds)
    return tuned, affinities, rows


def _tune(run: Run, problem: Problem, candidates: Mapping[str, Weights], decode: Decode) -> None:
    stage = run.stage("tune", settings=decode.model_dump(mode="json"))
    if stage.done:
        return
    tried = {name: _tuned(run, problem, weights, decode) for name, weights in candidates.items()}
    best = {name: lowest(rows) for name, (_, _, rows) in tried.items()}
    taken = min(best, key=lambda name: best[name]["voi"])
    decoder, affinities, rows = tried[taken]
    part = problem.block.validation
    found = decoder(affinities).labels
    keep_section(stage, problem.block.image[part.box], affinities, found)
    stage.save_array("truth", part.labels[len(part.labels) // 2])
    write_affinities(stage.path / "affinities.h5", affinities, decoder.decoding)
    save_segmenter(
        run.path / "model",
        candidates[taken],
        problem.network,
        decoder,
        decode,
        isotropic=problem.isotropic,
    )
    scores = {name: value for name, value in best[taken].items() if name != "threshold"}
    write_json(run.path / "scores" / f"{problem.id}.json", scores | bordered(found, part.labels))
    box = [[each.start, each.stop] for each in part.box]
    control = {GREY_CONTROL: grey_scores(problem.block.image, part, decode, isotropic=problem.isotropic)}
    stage.finish(
        threshold=decoder.threshold, curve=rows, box=box, taken=taken, candidates=best, controls=control
    )


def _budget(
    run: Run,
    problem: Problem,
    start: Weights | None,
    settings: Finetune,
    decode: Decode,
    share: float,
    replayed: Callable[[], Sequence[Dense]],
) -> None:
    """What comes of a part of the labels: the same start, as many steps, the same validation part."""
    described = {"settings": settings.model_dump(mode="json"), "decode": decode.model_dump(mode="json")}
    stage = run.stage(f"labels-{share * 100:g}", **described)
    if stage.done:
        return
    part = middle(problem.block.train, share)
    block = replace(problem.block, train=part)
    weights = _finetuned(run, stage, problem, block, start, settings, replayed())
    _, _, rows = _tuned(run, problem, weights, decode)
    stage.finish(share=share, voxels=int(np.count_nonzero(part.labels >= 0)), best=lowest(rows))
