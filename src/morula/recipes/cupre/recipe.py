"""Cells in 2D from a few labelled images and many without labels (recipe cupre).

After Liao et al., "CUPre: cross-domain unsupervised pre-training for few-shot cell segmentation" (arXiv
2310.03981). Preset `paper` pre-trains a detector as it proposes (`paper/`); preset `best` answers the same
question by other means, and pre-trains on nothing. README.md says what each part adds.

    morula run images/ --labels few/ --out runs/mine
    morula run images/ --labels few/ --natural instances.json --preset paper --out runs/paper

Preset best trains three to four minutes on one CPU core; five labelled images of DSB2018 give an AP of 0.51
(benchmarks/cupre).

Algorithm (preset best)
  1  one look and one size of objects for all images; labelled ones take the size from their labels
  2  U <- pseudo instances, closed contours by edge, shape and size, of images of kinds that nobody labelled;
     of the other kinds, too, where hardly any has labels and contours find what these show
  3  train f on crops of labelled images, with objects pasted between them, and of U by its confidence;
     its moving average f' is the teacher
  4  repeat: U <- the teacher's instances of all images without labels, by its confidence; train f on
  5  rank the images without labels by doubt and novelty: label these next
Nothing is held back to stop by: the steps are fixed, and f' is what is used. So one labelled image is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from morula.core.errors import DataError
from morula.core.files import write_json
from morula.core.rng import Rng
from morula.core.types import Array, Record, Segmentation, Volume
from morula.engine import Run, Weights, WeightsInfo, read_json, seeded, spread
from morula.metrics import iou
from morula.nets import UNet2d
from morula.recipes.cupre import config as configs
from morula.recipes.cupre.batches import Example, mixed_crops
from morula.recipes.cupre.config import CupreConfig
from morula.recipes.cupre.curve import label_curve
from morula.recipes.cupre.label_next import advise, describe, doubt, write_advice
from morula.recipes.cupre.look import Look, fit_look
from morula.recipes.cupre.paper import stages as published
from morula.recipes.cupre.paper.config import PaperConfig, paper, paper_small
from morula.recipes.cupre.predict import CuprePredictor, cut_of
from morula.recipes.cupre.story import chapters
from morula.tasks.cells.batches import Batch
from morula.tasks.cells.controls import otsu_watershed, pseudo_only
from morula.tasks.cells.decode import (
    Verdict,
    level_of,
    objects_of_maps,
    to_shape,
)
from morula.tasks.cells.front import Prepared, fit_sizes, foreground, window
from morula.tasks.cells.pseudo import Pseudo, pseudo_instances, targets
from morula.tasks.cells.scores import object_scores
from morula.tasks.cells.standard import middles
from morula.tasks.cells.student import Course, fit_student, maps_of

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["batch_sizes", "checkpoints", "controls", "load", "presets", "story", "train"]


_NARROW = 16  # channels


@dataclass(frozen=True)
class _Image:
    """An image at the common look; `labels` at its scale, or None."""

    id: str
    prepared: Prepared
    labels: Array | None


def presets() -> Mapping[str, CupreConfig | PaperConfig]:
    """The named configs, `best` first; `scratch` learns from the labels alone, `paper` follows the paper."""
    return {**configs.presets(), "paper": paper(), "paper-small": paper_small()}


def train(run: Run, records: Sequence[Record], config: CupreConfig | PaperConfig) -> None:
    """Runs the algorithm; finished stages are skipped.

    Raises:
        DataError: no image has labels with an object, or natural images cannot be used.
    """
    if isinstance(config, PaperConfig):
        published.train(run, records, config)
        return
    if config.natural:
        run.console.print(f"Preset {config.preset} learns nothing from natural images; preset paper does.")
    if config.weights:
        run.console.print(f"Preset {config.preset} starts from no weights; preset paper does.")
    look, images, overlaps = _prepare(run, records, config)  # line 1
    examples = {
        each.id: _example(each.prepared, _certain(each.labels)) for each in images if each.labels is not None
    }
    labelled = list(examples.values())
    others = [each.prepared for each in images if each.labels is None] if config.unlabelled else []
    network = _network_of(run, config)
    untaught = {each.kind for each in labelled if overlaps.get(each.kind, 0.0) < config.trust}
    for turn in range(config.rounds + 1):  # lines 2 to 4
        learned = [each for each in others if turn or each.modality not in untaught]
        share = config.unlabelled * len(learned) / max(1, len(others))
        network = _learn(run, network, labelled, learned, share, look, config, turn)
    _advise(run, network, images, config)  # line 5
    label_curve(run, records, examples, look, partial(_network_of, run, config), config)
    _save(run, network, look, sorted({each.kind for each in labelled}), config)


def batch_sizes(config: CupreConfig | PaperConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, by the name of the setting."""
    return published.batch_sizes(config) if isinstance(config, PaperConfig) else {"batch": config.batch}


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new images, from the run's folder alone."""
    if _follows_the_paper(path):
        return published.load(path, fabric)
    described = read_json(path / "model" / "model.json")
    config = CupreConfig.model_validate(described["config"])
    network = _network(config)
    Weights.load(path / "model" / "network.safetensors").load_into(network)
    look, labelled = Look.of_json(described["look"]), frozenset[str](described["labelled"])
    return CuprePredictor(fabric.setup_module(network).eval(), look, labelled, config, fabric)


def checkpoints(path: Path, fabric: Fabric) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """None: the model is what the last stage made, not chosen among several."""
    del path, fabric
    return {}


def controls(
    records: Sequence[Record], config: CupreConfig | PaperConfig
) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """What needs no label: one threshold, and the pseudo labels that line 2 starts from."""
    diameter = published.DIAMETER if isinstance(config, PaperConfig) else config.diameter
    rng = Rng(0, "windows")
    sizes, _ = fit_sizes([window(record.image, rng, i) for i, record in enumerate(records[: config.images])])

    def pseudo_labels(volume: Volume) -> Segmentation:
        return pseudo_only(volume, sizes, diameter)

    return {"otsu-watershed": otsu_watershed, "pseudo-labels": pseudo_labels}


def story(path: Path) -> Sequence[Chapter]:
    """The stages of a finished run with their pictures."""
    return published.story(path) if _follows_the_paper(path) else chapters(path)


def _follows_the_paper(path: Path) -> bool:
    return read_json(path / "model" / "model.json")["config"]["preset"].startswith("paper")


def _prepare(
    run: Run, records: Sequence[Record], config: CupreConfig
) -> tuple[Look, list[_Image], Mapping[str, float]]:
    stage = run.stage("prepare", normalise=config.normalise, diameter=config.diameter)
    truths = {record.id: labels for record in records if (labels := _objects(record)) is not None}
    if not truths:
        raise DataError("--labels", "no image has labels with an object", "label at least one image")
    rest = [record for record in records if record.id not in truths]
    drawn = run.rng("images").at(0).permutation(len(rest))[: config.images]
    kept = [record for record in records if record.id in truths]
    kept += [rest[place] for place in np.sort(drawn).tolist()]
    rng = run.rng("windows")
    pixels = [
        record.image.read_yxc() if record.id in truths else window(record.image, rng, place)
        for place, record in enumerate(kept)
    ]
    labels = [truths.get(record.id) for record in kept]
    look, sizes = fit_look(pixels, labels, normalise=config.normalise, diameter=config.diameter)
    bare = [place for place, truth in enumerate(labels) if truth is None]
    parts = middles([pixels[place] for place in bare], [sizes[place] for place in bare], config.diameter)
    for place, part in zip(bare, parts, strict=True):
        pixels[place] = part
    images: list[_Image] = []
    for record, image, truth, size in zip(kept, pixels, labels, sizes, strict=True):
        prepared = look.sized(image, size) if truth is None else look.labelled(image, truth)
        scaled = None if truth is None else to_shape(truth, _shape(prepared))
        images.append(_Image(record.id, prepared, scaled))
    if not stage.done:
        stage.save_array("density", images[0].prepared.density.astype(np.float16))
        stage.save_array("labels", _certain(images[0].labels).labels)
        objects = [int(np.count_nonzero(np.unique(truth))) for truth in truths.values()]
        matters = rest and config.unlabelled > 0 and len(truths) <= config.few
        stage.finish(
            labelled=dict(zip(truths, objects, strict=True)),
            look=look.as_json(),
            overlaps=_overlaps(images, look, run.fabric) if matters else {},
        )
    return look, images, stage.summary["overlaps"]


def _objects(record: Record) -> Array | None:
    """The labels of an image that has objects; one without is more often not labelled yet than empty."""
    labels = None if record.labels is None else record.labels()
    return labels if labels is not None and labels.any() else None


def _shape(prepared: Prepared) -> tuple[int, int]:
    return prepared.density.shape[0], prepared.density.shape[1]


def _certain(labels: Array | None) -> Pseudo:
    """Labels that people drew: 1..N, each as certain as can be."""
    assert labels is not None
    ids, numbered = np.unique(labels, return_inverse=True)
    first = 1 if ids[0] > 0 else 0  # no background is left
    return Pseudo((numbered.reshape(labels.shape) + first).astype(np.int32), np.ones(len(ids) - 1 + first))


def _example(prepared: Prepared, found: Pseudo) -> Example:
    target = targets(found, np.asarray(found.labels > 0))
    return Example(prepared.modality, prepared.network_input, target, found.labels)


def _pseudo(teacher: nn.Module | None, prepared: Prepared, look: Look, fabric: Fabric) -> Example:
    """Lines 2 and 4: what an image without labels seems to show."""
    diameter = look.diameter_of(prepared.modality)
    if teacher is None:
        inside = foreground(prepared)
        found = pseudo_instances(prepared, inside, diameter)
    else:
        inside, distance = maps_of(teacher, prepared, fabric, augment=False)
        verdict, cut = Verdict(level_of(prepared), failed=False), cut_of(prepared.modality)
        labels = objects_of_maps(prepared, inside, distance, diameter, verdict, cut)
        found = Pseudo(labels, object_scores(labels, inside, distance, diameter))
    return Example(prepared.modality, prepared.network_input, targets(found, inside), found.labels)


def _overlaps(images: Sequence[_Image], look: Look, fabric: Fabric) -> dict[str, float]:
    """How well closed contours find what was labelled: IoU of the pixels, mean by modality."""

    def overlap(image: _Image) -> float:
        assert image.labels is not None
        prepared = image.prepared
        found = pseudo_instances(prepared, foreground(prepared), look.diameter_of(prepared.modality))
        return iou(found.labels, image.labels)

    known = [each for each in images if each.labels is not None]
    shares: dict[str, list[float]] = {}
    for image, shared in zip(known, spread(fabric, overlap, known), strict=True):
        shares.setdefault(image.prepared.modality, []).append(shared)
    return {kind: float(np.mean(own)) for kind, own in shares.items()}


def _learn(
    run: Run,
    teacher: nn.Module,
    labelled: Sequence[Example],
    learned: Sequence[Prepared],
    share: float,
    look: Look,
    config: CupreConfig,
    turn: int,
) -> nn.Module:
    stage = run.stage("train" if turn == 0 else f"train-again-{turn}")
    path = stage.path / "teacher.safetensors"
    teacher.to(run.fabric.device)
    if stage.done:
        Weights.load(path).load_into(teacher)
        return teacher
    unsure = spread(
        run.fabric, lambda each: _pseudo(teacher if turn else None, each, look, run.fabric), learned
    )
    rng, steps = stage.rng("crops"), config.round_steps if turn else config.steps

    def batches(index: int) -> Batch:
        return mixed_crops(
            labelled, unsure, rng, index,
            batch=config.batch, size=config.crop, share=share, pasted=config.paste,
        )  # fmt: skip

    fit_student(run, stage, teacher, batches, Course(steps, config.lr, config.momentum))
    Weights.of(teacher, WeightsInfo("unet2d")).save(path)
    if learned:
        inside, _ = maps_of(teacher, learned[0], run.fabric, augment=False)
        stage.save_array("density", learned[0].density.astype(np.float16))
        stage.save_array("learned", unsure[0].labels)
        stage.save_array("foreground", inside.astype(np.float16))
    stage.finish(objects=sum(int(each.labels.max(initial=0)) for each in unsure))
    return teacher


def _advise(run: Run, network: nn.Module, images: Sequence[_Image], config: CupreConfig) -> None:
    stage = run.stage("advise")
    if stage.done:
        return
    doubts = {
        each.id: doubt(maps_of(network, each.prepared, run.fabric, augment=False)[0])
        for each in images
        if each.labels is None
    }
    looks = {each.id: describe(each.prepared) for each in images}
    ranking = advise(doubts, looks, [each.id for each in images if each.labels is not None])
    write_advice(run.path / "report" / "label_next.csv", ranking)
    stage.finish(first=[each.image for each in ranking[:5]])


def _network(config: CupreConfig) -> nn.Module:
    return UNet2d(4, 2, config.widths).to(memory_format=_layout(config))


def _layout(config: CupreConfig) -> torch.memory_format:
    """Channels last is a fifth faster on CPUs, but crashes in bf16 where a network is narrow (torch 2.15)."""
    return torch.channels_last if min(config.widths) > _NARROW else torch.contiguous_format


def _network_of(run: Run, config: CupreConfig) -> nn.Module:
    with seeded(run.rng("network")):
        return _network(config)


def _save(run: Run, network: nn.Module, look: Look, labelled: Sequence[str], config: CupreConfig) -> None:
    folder = run.path / "model"
    Weights.of(network, WeightsInfo("unet2d", {"channels_in": 4, "channels_out": 2})).save(
        folder / "network.safetensors"
    )
    model = {"config": config.model_dump(mode="json"), "look": look.as_json(), "labelled": labelled}
    write_json(folder / "model.json", model)
