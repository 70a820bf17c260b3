"""Presets `paper`: pre-train on cells and natural images in turn, fine-tune on the few labels.

Algorithm
  1  repeat:  A  momentum contrast on two views of cells: backbone and projection learn
              B  instance segmentation of natural images: backbone, neck and heads learn
     without natural images A alone, and neck and heads start from nothing
  2  drop projection, keys and queue; new last layers for one class
  3  fine-tune the whole detector on crops of the labelled images, with the statistics of the cells
  4  rank the images without labels: label these next
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from morula.core.errors import DataError
from morula.core.files import write_json
from morula.core.hashing import file_sha256
from morula.core.types import Array, Record, Segmentation, Volume
from morula.data.modality import modality
from morula.engine import Run, TrainState, Weights, WeightsInfo, cosine, fit, read_json, seeded, update
from morula.nets import mask_rcnn, replace_predictors, use_domain
from morula.recipes.cupre.label_next import advise, describe, doubt, write_advice
from morula.recipes.cupre.paper.amt2 import CELLS, Amt2, detection_loss
from morula.recipes.cupre.paper.config import PaperConfig
from morula.recipes.cupre.paper.detect import PaperPredictor, detect
from morula.recipes.cupre.paper.images import NaturalImages, Scenes, cell_example, cell_scenes, normalised
from morula.recipes.cupre.paper.views import Views, two_views
from morula.tasks.cells.front import prepare, window

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["DIAMETER", "batch_sizes", "load", "story", "train"]

DIAMETER = 22.0
"""Pixels to which images are scaled for their description and for the controls; the detector sees them as
they are."""

_ALONE = "No natural images were given (--natural): the backbone learns by momentum contrast alone."
_CLIP = 5.0  # largest norm of the gradients of fine-tuning
_NETWORK = "mask-rcnn"


class _Image(NamedTuple):
    id: str
    pixels: Array
    labels: Array | None


class _Pair(NamedTuple):
    views: Views
    scenes: Scenes | None


def train(run: Run, records: Sequence[Record], config: PaperConfig) -> None:
    """Runs the algorithm; finished stages are skipped.

    Raises:
        DataError: no image has labels with an object, or the natural images cannot be used.
    """
    images = _images(run, records, config)
    natural = NaturalImages(Path(config.natural)) if config.natural else None
    network = _pretrain(run, [normalised(each.pixels) for each in images], natural, config)  # line 1
    network = _finetune(run, network, images, config)  # lines 2 and 3
    _advise(run, network, images)  # line 4
    Weights.of(network, WeightsInfo(_NETWORK)).save(run.path / "model" / "network.safetensors")
    write_json(run.path / "model" / "model.json", {"config": config.model_dump(mode="json")})


def batch_sizes(config: PaperConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, and parts of keys, by the name of the setting."""
    natural = {"natural_batch": config.natural_batch} if config.natural else {}
    return {"views": config.views, "parts": config.parts, **natural, "batch": config.batch}


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new images, from the run's folder alone."""
    config = PaperConfig.model_validate(read_json(path / "model" / "model.json")["config"])
    network = mask_rcnn(config.backbone, detections=config.detections)
    Weights.load(path / "model" / "network.safetensors").load_into(network)
    use_domain(network, CELLS)
    return PaperPredictor(network.to(fabric.device).eval(), fabric.device)


def story(path: Path) -> list[Chapter]:
    """One chapter a stage.

    Args:
        path: folder of a finished run.
    """
    from morula.report import Picture, Stage, overlay, to_rgb8

    def folder(name: str) -> Path:
        return next(path.glob(f"*-{name}"))

    learned: Mapping[str, Any] = read_json(folder("pretrain") / "done.json")
    what = f"Two views of one place are told from views of other images, {learned['cells']} in all. "
    what += (
        f"In turn with it, the whole detector learns {learned['categories']} categories of things in "
        f"{learned['natural']} natural images."
        if learned["natural"]
        else _ALONE
    )
    tuned = read_json(folder("finetune") / "done.json")
    given = (
        f"The detector is fine-tuned on {tuned['objects']} objects in {tuned['images']} labelled image(s)."
    )
    view = to_rgb8(np.load(folder("finetune") / "image.npy").astype(np.float32))
    labels = np.load(folder("finetune") / "labels.npy")
    return [
        Stage("Pre-training", what),
        Stage("Fine-tuning", given, (Picture(overlay(view, labels), "The first of them"),)),
        Stage("Label these next", "The whole ranking is report/label_next.csv."),
    ]


def _images(run: Run, records: Sequence[Record], config: PaperConfig) -> list[_Image]:
    """The labelled images whole, and of the others a part each, not more than the config says."""
    known = {record.id: record.labels() for record in records if record.labels is not None}
    known = {name: labels for name, labels in known.items() if labels.any()}
    if not known:
        raise DataError("--labels", "no image has labels with an object", "label at least one image")
    kept = [
        _Image(record.id, record.image.read_yxc(), known[record.id])
        for record in records
        if record.id in known
    ]
    rest = [record for record in records if record.id not in known]
    drawn = np.sort(run.rng("images").at(0).permutation(len(rest))[: config.images])
    places = run.rng("windows")
    kept += [_Image(rest[i].id, window(rest[i].image, places, i), None) for i in drawn.tolist()]
    return kept


def _pretrain(
    run: Run, cells: Sequence[Array], natural: NaturalImages | None, config: PaperConfig
) -> MaskRCNN:
    stage = run.stage("pretrain", natural=None if natural is None else file_sha256(config.natural))
    path = stage.path / "network.safetensors"
    classes = 2 if natural is None else len(natural.categories) + 1
    if stage.done:
        network = mask_rcnn(config.backbone, classes, detections=config.detections, regions=config.regions)
        Weights.load(path).load_into(network)
        return network
    if natural is None:
        run.console.print(_ALONE)
    with seeded(stage.rng("weights")):
        amt2 = Amt2(run.fabric, config, classes, stage.rng("queue"))
    views, scenes = stage.rng("views"), stage.rng("natural")

    def batches(index: int) -> _Pair:
        seen = two_views(cells, views, index, batch=config.views, size=config.view)
        if natural is None:
            return _Pair(seen, None)
        return _Pair(
            seen, natural.scenes(scenes, index, batch=config.natural_batch, size=config.natural_crop)
        )

    def step(pair: _Pair) -> dict[str, Tensor]:
        at, warmup = amt2.state.step, config.iterations // 20
        losses = {
            "contrast": amt2.step_a(
                pair.views, cosine(config.contrast_lr, at, config.iterations, warmup=warmup)
            )
        }
        if pair.scenes is not None:
            rate = cosine(config.detect_lr, at, config.iterations, warmup=warmup)
            losses["detect"] = amt2.step_b(pair.scenes, rate)
        return losses

    fit(step, batches, amt2.state, config.iterations, stage)
    Weights.of(amt2.network, WeightsInfo(_NETWORK)).save(path)
    stage.finish(
        cells=len(cells),
        natural=0 if natural is None else len(natural),
        categories=0 if natural is None else len(natural.categories),
    )
    return amt2.network


def _finetune(run: Run, network: MaskRCNN, images: Sequence[_Image], config: PaperConfig) -> MaskRCNN:
    stage = run.stage("finetune")
    path = stage.path / "network.safetensors"
    with seeded(stage.rng("weights")):
        if config.natural:  # cells are none of the natural categories
            replace_predictors(network, 2)
    use_domain(network, CELLS)
    if stage.done:
        Weights.load(path).load_into(network)
        return network.to(run.fabric.device).eval()
    examples = [
        cell_example(modality(each.pixels), each.pixels, each.labels)
        for each in images
        if each.labels is not None
    ]
    size = min(config.crop, *(edge for each in examples for edge in each.labels.shape))
    optimiser = torch.optim.SGD(network.parameters(), lr=config.lr, momentum=0.9, weight_decay=1e-4)
    model, optimiser = run.fabric.setup(network.train(), optimiser)
    state, crops = TrainState(network=network, optimiser=optimiser), stage.rng("crops")

    def batches(index: int) -> Scenes:
        return cell_scenes(examples, crops, index, batch=config.batch, size=size, pasted=config.paste)

    def step(scenes: Scenes) -> dict[str, Tensor]:
        loss = detection_loss(model, scenes, run.fabric.device)
        rate = cosine(config.lr, state.step, config.steps, warmup=config.steps // 20)
        update(run.fabric, optimiser, loss, lr=rate, clip=_CLIP)
        return {"loss": loss.detach()}

    fit(step, batches, state, config.steps, stage)
    Weights.of(network, WeightsInfo(_NETWORK)).save(path)
    stage.save_array("image", examples[0].image.mean(axis=0).astype(np.float16))
    stage.save_array("labels", examples[0].labels)
    objects = sum(int(np.count_nonzero(np.unique(each.labels))) for each in examples)
    stage.finish(images=len(examples), objects=objects)
    return network.eval()


def _advise(run: Run, network: MaskRCNN, images: Sequence[_Image]) -> None:
    """As in preset `best`, with the scores of the objects in place of a foreground."""
    stage = run.stage("advise")
    if stage.done:
        return
    doubts = {
        each.id: doubt(detect(network, normalised(each.pixels), run.fabric.device).scores)
        for each in images
        if each.labels is None
    }
    looks = {each.id: describe(prepare(each.pixels, {}, DIAMETER)) for each in images}
    ranking = advise(doubts, looks, [each.id for each in images if each.labels is not None])
    write_advice(run.path / "report" / "label_next.csv", ranking)
    stage.finish(first=[each.image for each in ranking[:5]])
