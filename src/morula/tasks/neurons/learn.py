"""From a labelled block and, maybe, pre-trained weights to a segmenter: fine-tune, predict, tune, save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from morula.core.affinities import Offset
from morula.core.errors import UsageError
from morula.core.files import write_json
from morula.core.types import Record
from morula.data.affinities import write_affinities
from morula.engine import Run, Stage, Weights, WeightsInfo, seeded
from morula.targets import DESCRIPTORS
from morula.tasks.neurons.block import Block, grey, middle, prepare
from morula.tasks.neurons.decode import decoder_of, tune
from morula.tasks.neurons.finetune import finetune
from morula.tasks.neurons.geometry import architecture, build, is_isotropic, offsets_of
from morula.tasks.neurons.segmenter import Segmenter, save_segmenter
from morula.tasks.neurons.settings import Decode, Finetune, Network
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
        UsageError: several records, or one without labels.
        DataError: the labelled block cannot be used.
    """
    if len(records) != 1:
        found = f"{len(records)} volumes; a neuron recipe learns from one and its labelled block"
        raise UsageError("VOLUME", found, "name one volume; `morula predict` then takes others")
    (record,) = records
    block = prepare(record, grey(record.image), finetune.validation)
    isotropic = is_isotropic(network, record.image.voxel)
    return Problem(record.id, block, isotropic, offsets_of(network, isotropic=isotropic), network)


def learn(run: Run, problem: Problem, pretrained: Weights | None, settings: Finetune, decode: Decode) -> None:
    """Fine-tunes, tunes the threshold on the validation part, and fills the run's `model` folder.

    Then it does the same with each share of the labels in `settings.budgets`, for a curve and no model.

    Args:
        run: finished stages are skipped.
        problem: the volume and its labels.
        pretrained: what the network starts from, None for a start from scratch.
        settings: of the training.
        decode: of the decoder.

    Raises:
        ValueError: a tensor of the pre-trained weights fits nowhere.
    """
    stage = run.stage("finetune", settings=settings.model_dump(mode="json"))
    kept = stage.path / "network.safetensors"
    if not stage.done:
        _finetuned(run, stage, problem, problem.block, pretrained, settings).save(kept)
        stage.finish()
    _tune(run, problem, _network(problem, Weights.load(kept)), decode)
    for share in settings.budgets:
        _budget(run, problem, pretrained, settings, decode, share)


def _finetuned(
    run: Run, stage: Stage, problem: Problem, block: Block, pretrained: Weights | None, settings: Finetune
) -> Weights:
    channels = len(problem.offsets) + (DESCRIPTORS if settings.shapes else 0)
    with seeded(stage.rng("weights")):
        network = build(problem.network, channels, isotropic=problem.isotropic)
    if pretrained is not None and (lost := pretrained.load_into(network).skipped):
        raise ValueError(f"pre-trained weights that fit nowhere: {', '.join(lost)}")
    trained = finetune(run, stage, network, block, problem.offsets, settings, isotropic=problem.isotropic)
    return _of_affinities(Weights.of(trained, WeightsInfo(architecture(trained))), len(problem.offsets))


def _network(problem: Problem, weights: Weights) -> nn.Module:
    network = build(problem.network, len(problem.offsets), isotropic=problem.isotropic)
    weights.load_into(network)
    return network


def _of_affinities(whole: Weights, count: int) -> Weights:
    """The weights without channels that were learned beside the affinities; nothing needs these any more."""
    ends = ("out.weight", "out.bias")
    tensors = {name: tensor[:count] if name in ends else tensor for name, tensor in whole.tensors.items()}
    return Weights({name: tensor.contiguous() for name, tensor in tensors.items()}, whole.info)


def _tune(run: Run, problem: Problem, network: nn.Module, decode: Decode) -> None:
    stage = run.stage("tune", settings=decode.model_dump(mode="json"))
    if stage.done:
        return
    decoder = decoder_of(decode, isotropic=problem.isotropic)
    segmenter = Segmenter(network, problem.offsets, decoder, decode, run.fabric)
    part = problem.block.validation
    affinities = segmenter.within(problem.block.image, part.box)
    decoder, rows = tune(decoder, affinities, part.labels, decode.thresholds)
    best = next(row for row in rows if row["threshold"] == decoder.threshold)
    middle = len(part.labels) // 2
    stage.save_array("image", problem.block.image[part.box][middle])
    stage.save_array("affinities", affinities.nearest().values[:, middle])
    write_affinities(stage.path / "affinities.h5", affinities)
    stage.save_array("truth", part.labels[middle])
    stage.save_array("found", decoder(affinities).labels[middle])
    save_segmenter(
        run.path / "model",
        network,
        problem.offsets,
        decoder,
        settings=problem.network,
        decode=decode,
        isotropic=problem.isotropic,
    )
    scores = {name: value for name, value in best.items() if name != "threshold"}
    write_json(run.path / "scores" / f"{problem.id}.json", scores)
    stage.finish(threshold=decoder.threshold, curve=rows, box=[[each.start, each.stop] for each in part.box])


def _budget(
    run: Run, problem: Problem, pretrained: Weights | None, settings: Finetune, decode: Decode, share: float
) -> None:
    """What comes of a part of the labels: the same start, as many steps, the same validation part."""
    described = {"settings": settings.model_dump(mode="json"), "decode": decode.model_dump(mode="json")}
    stage = run.stage(f"labels-{share * 100:g}", **described)
    if stage.done:
        return
    part, known = middle(problem.block.train, share), problem.block.validation
    weights = _finetuned(run, stage, problem, replace(problem.block, train=part), pretrained, settings)
    decoder = decoder_of(decode, isotropic=problem.isotropic)
    segmenter = Segmenter(_network(problem, weights), problem.offsets, decoder, decode, run.fabric)
    affinities = segmenter.within(problem.block.image, known.box)
    _, rows = tune(decoder, affinities, known.labels, decode.thresholds)
    stage.finish(share=share, voxels=part.labels.size, best=min(rows, key=lambda row: row["voi"]))
