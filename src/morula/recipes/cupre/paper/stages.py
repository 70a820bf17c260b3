"""Presets `paper`: pre-train on cells and natural images in turn, fine-tune on the few labels.

Algorithm
  0  start from a detector of natural images where one is named, else from random weights
  1  repeat:  A  momentum contrast on two views of cells: backbone and projection learn
              B  instance segmentation of natural images: backbone, neck and heads learn
     without natural images A alone, and neck and heads start from nothing; `objective` has the controls
  2  drop projection, keys and queue; new last layers for one class
  3  fine-tune the whole detector on crops of the labelled images, with the statistics of the cells;
     with `taught` a mean teacher labels crops of the others
  4  rank the images without labels: label these next
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lightning_fabric import Fabric
from torchvision.models.detection import MaskRCNN

from morula.core.errors import DataError
from morula.core.files import write_json
from morula.core.types import Array, Record, Segmentation, Volume
from morula.data.modality import modality
from morula.engine import Run, Weights, WeightsInfo, read_json
from morula.nets import use_domain
from morula.recipes.cupre.batches import Example
from morula.recipes.cupre.label_next import advise, describe, doubt, write_advice
from morula.recipes.cupre.paper.amt2 import CELLS, detector_of
from morula.recipes.cupre.paper.config import Objective, PaperConfig
from morula.recipes.cupre.paper.detect import PaperPredictor, detect
from morula.recipes.cupre.paper.finetune import finetune
from morula.recipes.cupre.paper.images import cell_example, normalised
from morula.recipes.cupre.paper.pretrain import ALONE, pretrain
from morula.tasks.cells.front import window
from morula.tasks.cells.standard import prepare

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["DIAMETER", "batch_sizes", "load", "story", "train"]

DIAMETER = 22.0
"""Pixels to which images are scaled for their description and for the controls; the detector sees them as
they are."""

_NETWORK = "mask-rcnn"

_CELLS = "two views of one place are told from views of other images of cells, {cells} in all"
_THINGS = "the whole detector learns {categories} categories of things in {natural} natural images"
_TOLD: Mapping[Objective, str] = {
    "amt2": f"In turn {_CELLS}, and {_THINGS}.",
    "contrast": f"On the backbone {_CELLS}.",
    "detect": f"Nothing but natural images: {_THINGS}.",
    "sequence": f"First {_THINGS}; then {_CELLS}.",
    "sum": f"In one and the same step {_CELLS}, and {_THINGS}.",
    "none": "Nothing is pre-trained.",
}


class _Image(NamedTuple):
    id: str
    pixels: Array
    labels: Array | None


def train(run: Run, records: Sequence[Record], config: PaperConfig) -> None:
    """Runs the algorithm; finished stages are skipped.

    Raises:
        DataError: no image has labels with an object, or the natural images cannot be used.
        UsageError: the objective of pre-training needs natural images, and there are none.
        ResourceError: the weights to start from cannot be downloaded.
    """
    images = _images(run, records, config)
    network = pretrain(run, [normalised(each.pixels) for each in images], config)  # line 1
    labelled = [_example(each) for each in images if each.labels is not None]
    others = [_example(each) for each in images if each.labels is None] if config.taught else []
    network = finetune(run, network, labelled, others, config)  # lines 2 and 3
    _advise(run, network, images)  # line 4
    parents = (config.weights,) if config.weights else ()
    weights = Weights.of(network, WeightsInfo(_NETWORK, parents=parents))
    weights.save(run.path / "model" / "network.safetensors")
    write_json(run.path / "model" / "model.json", {"config": config.model_dump(mode="json")})


def batch_sizes(config: PaperConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, and parts of keys, by the name of the setting."""
    natural = {"natural_batch": config.natural_batch} if config.natural else {}
    taught = {"taught": config.taught} if config.taught else {}
    return {"views": config.views, "parts": config.parts, **natural, "batch": config.batch, **taught}


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new images, from the run's folder alone."""
    config = PaperConfig.model_validate(read_json(path / "model" / "model.json")["config"])
    network = detector_of(config)
    Weights.load(path / "model" / "network.safetensors").load_into(network)
    use_domain(network, CELLS)
    return PaperPredictor(network.to(fabric.device).eval(), fabric.device, augment=config.augment_test)


def story(path: Path) -> list[Chapter]:
    """One chapter a stage.

    Args:
        path: folder of a finished run.
    """
    from morula.report import Picture, Stage, overlay, to_rgb8

    def folder(name: str) -> Path:
        return next(path.glob(f"*-{name}"))

    learned: Mapping[str, Any] = read_json(folder("pretrain") / "done.json")
    config = PaperConfig.model_validate(read_json(path / "model" / "model.json")["config"])
    alone = config.objective == "amt2" and not learned["natural"]
    what = ALONE if alone else _TOLD[config.objective].format(**learned)
    what = f"{_begun(learned.get('weights'))} {what}"
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


def _begun(weights: Mapping[str, Any] | None) -> str:
    if weights is None:
        return "The detector starts from random weights."
    return (
        f"The detector starts from the weights of {weights['source']}: {len(weights['loaded'])} tensors "
        f"loaded, {len(weights['skipped'])} left out, {len(weights['new'])} new."
    )


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


def _example(image: _Image) -> Example:
    height, width, _ = image.pixels.shape
    labels = np.zeros((height, width), np.int32) if image.labels is None else image.labels
    return cell_example(modality(image.pixels), image.pixels, labels)


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
