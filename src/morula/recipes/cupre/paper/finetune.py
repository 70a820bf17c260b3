"""Fine-tuning on the few labelled images, with a mean teacher for the others where the config has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from morula.core.config import override
from morula.core.rng import Rng
from morula.engine import Run, TrainState, Weights, WeightsInfo, cosine, ema_, fit, seeded, update
from morula.nets import replace_predictors, use_domain
from morula.post import paste_masks
from morula.recipes.cupre.batches import Example, cut
from morula.recipes.cupre.paper.amt2 import CELLS, detection_loss, detector_of
from morula.recipes.cupre.paper.config import PaperConfig
from morula.recipes.cupre.paper.images import Scenes, cell_scenes, jitter, targets_of

__all__ = ["Taught", "finetune", "teach", "weak_crops"]

_CLIP = 5.0  # largest norm of the gradients
_FOUND = 100  # objects that the teacher finds in a crop at most
_ALONE = 0.3  # share of the steps before the teacher has a say


class Taught(NamedTuple):
    """Crops without labels, each twice `(3, y, x)`: as they are, and varied as the student sees them."""

    weak: list[Tensor]
    strong: list[Tensor]


class _Batch(NamedTuple):
    labelled: Scenes
    others: Taught | None


def finetune(
    run: Run, network: MaskRCNN, labelled: Sequence[Example], others: Sequence[Example], config: PaperConfig
) -> MaskRCNN:
    """Trains all layers on crops of the labelled images, with the running statistics of cells.

    With a mean teacher, `config.taught` crops of the others join each batch once a third of the steps is
    over: the teacher finds objects in the crop as it is, the student learns those it is certain of in the
    varied crop, and the teacher, the moving average of the student, is what is kept.

    Args:
        run: that keeps the stage.
        network: pre-trained; its last layers are replaced where it knows other classes.
        labelled: at least one.
        others: images without labels; a teacher needs some.
        config: of the recipe.

    Returns:
        The network in evaluation mode.

    Source: Liu et al., "Unbiased teacher for semi-supervised object detection", ICLR 2021, here with masks.
    """
    stage = run.stage("finetune")
    path = stage.path / "network.safetensors"
    with seeded(stage.rng("weights")):
        if config.natural:  # cells are none of the natural categories
            replace_predictors(network, 2)
    use_domain(network, CELLS)
    if stage.done:
        Weights.load(path).load_into(network)
        return network.to(run.fabric.device).eval()
    size = min(config.crop, *(edge for each in [*labelled, *others] for edge in each.labels.shape))
    optimiser = torch.optim.SGD(network.parameters(), lr=config.lr, momentum=0.9, weight_decay=1e-4)
    model, optimiser = run.fabric.setup(network.train(), optimiser)
    teacher = _teacher_of(network, config).to(run.fabric.device) if config.taught and others else None
    averaged = {} if teacher is None else {"teacher": teacher}
    state = TrainState(network=network, optimiser=optimiser, **averaged)
    crops, unseen = stage.rng("crops"), stage.rng("others")
    begin = round(_ALONE * config.steps)

    def batches(index: int) -> _Batch:
        scenes = cell_scenes(labelled, crops, index, batch=config.batch, size=size, pasted=config.paste)
        taught = teacher is not None and index >= begin
        return _Batch(scenes, weak_crops(others, unseen, index, config.taught, size) if taught else None)

    def step(batch: _Batch) -> dict[str, Tensor]:
        scenes = batch.labelled
        if teacher is not None and batch.others is not None:
            found = teach(teacher, batch.others, config.certain, run.fabric.device)
            scenes = Scenes([*scenes.images, *found.images], [*scenes.targets, *found.targets])
        loss = detection_loss(model, scenes, run.fabric.device)
        rate = cosine(config.lr, state.step, config.steps, warmup=config.steps // 20)
        update(run.fabric, optimiser, loss, lr=rate, clip=_CLIP)
        if teacher is not None:
            ema_(teacher, network, min(config.average, (state.step + 1) / (state.step + 10)))
        return {"loss": loss.detach()}

    fit(step, batches, state, config.steps, stage)
    if teacher is not None:
        network.load_state_dict(teacher.state_dict())
    Weights.of(network, WeightsInfo("mask-rcnn")).save(path)
    stage.save_array("image", labelled[0].image.mean(axis=0).astype(np.float16))
    stage.save_array("labels", labelled[0].labels)
    objects = sum(int(np.count_nonzero(np.unique(each.labels))) for each in labelled)
    stage.finish(images=len(labelled), objects=objects)
    return network.eval()


def weak_crops(others: Sequence[Example], rng: Rng, index: int, count: int, size: int) -> Taught:
    """Batch `index` of crops without labels."""
    draw = rng.at(index)
    weak = [cut(others[int(draw.integers(len(others)))], draw, size).image for _ in range(count)]
    strong = [torch.from_numpy(jitter(crop, draw)) for crop in weak]
    return Taught([torch.from_numpy(crop) for crop in weak], strong)


@torch.no_grad()
def teach(teacher: nn.Module, crops: Taught, certain: float, device: torch.device) -> Scenes:
    """What the student learns of crops without labels: the objects that the teacher is certain of.

    Args:
        teacher: in evaluation mode.
        crops: the teacher sees the weak ones.
        certain: lowest score of an object.
        device: where the teacher is.

    Returns:
        The strong crops, with these objects.
    """
    targets: list[dict[str, Tensor]] = []
    for crop, found in zip(crops.weak, teacher([each.to(device) for each in crops.weak]), strict=True):
        kept = found["scores"] >= certain
        boxes, masks = found["boxes"][kept].cpu().numpy(), found["masks"][kept, 0].float().cpu().numpy()
        targets.append(targets_of(paste_masks(boxes, masks, (crop.shape[1], crop.shape[2]))[0]))
    return Scenes(crops.strong, targets)


def _teacher_of(network: MaskRCNN, config: PaperConfig) -> MaskRCNN:
    """A copy that looks for fewer objects, for crops are small."""
    teacher = detector_of(override(config, {"detections": min(_FOUND, config.detections)}))
    teacher.load_state_dict(network.state_dict())
    use_domain(teacher, CELLS)
    return teacher.requires_grad_(False).eval()
