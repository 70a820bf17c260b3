"""A mean teacher on the target, the core of preset `best`.

After Tarvainen and Valpola (NeurIPS 2017), with confidence bands, hidden patches (Hoyer et al., CVPR 2023)
and pasted source objects (Tranheden et al., WACV 2021), which made it work across domains.

    x_s, y_s ~ source, in the target's style, varied        x_t ~ target
    p   = mean of the teacher's f'(x_t) over two views       sure where p < low or p > high
    x   = paste(x_s, y_s into hide(vary(x_t)))
    L   = L_seg(f(x_s), y_s) + w(step) L_seg(f(x), 1[p > 1/2], where sure)
    f'  = m f' + (1 - m) f

Source and target go through the student in one batch, so that the statistics of its normalisation are those
of both. With a batch for each they belonged to neither, and the teacher collapsed to background.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.engine import Run, Stage, TrainState, cosine, ema_, fit, seeded, update
from morula.recipes.emda.augment import recolour
from morula.recipes.emda.candidates import keep
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import GREY, Crops, Labelled
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import IGNORE, bce_dice
from morula.recipes.emda.segmenter import layout, network_of
from morula.recipes.emda.supervised import averaged, optimiser_of

__all__ = ["hide", "learn", "paste", "pseudo_label", "ramp"]

_DICE = 0.5
_PATCHES = 10  # along an edge of a crop, each shown or hidden as a whole
_SHOWN = 0.8  # of the patches
_RIM = 2  # pixels around a pasted mitochondrion that come along


@dataclass(frozen=True)
class _Batch:
    source: Labelled
    target: Tensor
    varied: Tensor


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Trains student and teacher, and keeps the teacher's checkpoints.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.
    """
    stage = run.stage("train", steps=config.steps)
    with seeded(stage.rng("weights")):
        student = network_of(config)
    if not stage.done:
        _fit(run, stage, student, domains, config)
        stage.finish()
    return student, stage


def _fit(run: Run, stage: Stage, student: nn.Module, domains: Domains, config: EmdaConfig) -> None:
    device, steps = run.fabric.device, config.steps
    teacher = copy.deepcopy(student).to(device).requires_grad_(False).eval()
    model, optimiser = run.fabric.setup(student, optimiser_of(student.parameters(), config))
    model.train()
    state = TrainState(student=model, teacher=teacher, optimiser=optimiser)
    crops, rng = Crops(domains, config, stage.rng("crops")), stage.rng("mixing")

    def step(batch: _Batch) -> dict[str, Tensor | float]:
        weight = config.teacher_weight * ramp(state.step / steps, config.teacher_start)
        x, y = batch.source.image.to(device), batch.source.label.to(device)
        count = len(x)
        if weight > 0:
            with torch.no_grad(), run.fabric.autocast():
                guessed = pseudo_label(teacher, batch.target.to(device), config.sure)
            draw = rng.at(state.step)
            seen = hide(batch.varied.to(device), draw, config.hide)
            mixed, label = paste(seen, guessed, x, y, draw, share=config.mix)
            x, y = torch.cat([x, mixed]), torch.cat([y, label])
        logits = model(x.contiguous(memory_format=layout(config)))
        loss = bce_dice(logits[:count], y[:count], _DICE)
        if weight > 0:
            loss = loss + weight * bce_dice(logits[count:], y[count:], _DICE)
        rate = cosine(config.lr, state.step, steps, warmup=min(20, steps // 4))
        update(run.fabric, optimiser, loss, lr=rate, clip=1.0)
        ema_(teacher, student, averaged(config.momentum, state.step))
        keep(stage, teacher, state.step + 1, steps, config.candidates)
        return {"loss": loss.detach(), "teacher weight": weight}

    def batches(index: int) -> _Batch:
        target = crops.target(index)
        varied = recolour(target.numpy(), rng.child("grey").at(index), GREY)
        return _Batch(crops.labelled(index), target, torch.from_numpy(varied))

    fit(step, batches, state, steps, stage)


def ramp(done: float, start: float) -> float:
    """Weight of the teacher: 0 up to `start`, then exp(-5 (1 - t)^2) over 30 % of the training.

    >>> ramp(0.2, 0.3), round(ramp(0.45, 0.3), 2), ramp(0.7, 0.3)
    (0.0, 0.29, 1.0)
    """
    return 0.0 if done < start else math.exp(-5 * (1 - min((done - start) / 0.3, 1.0)) ** 2)


def pseudo_label(teacher: nn.Module, image: Tensor, sure: Sequence[float]) -> Tensor:
    """`(b, y, x)`: 1, 0, or `IGNORE` where the mean of two views lies between the bounds.

    Args:
        teacher: image to logits, both `(b, 1, y, x)`.
        image: `(b, 1, y, x)`.
        sure: background below the first, mitochondrion above the second.
    """
    turned = torch.rot90(image, 1, (2, 3)).flip(3)
    back = torch.rot90(torch.sigmoid(teacher(turned).float()).flip(3), -1, (2, 3))
    p = ((torch.sigmoid(teacher(image).float()) + back) / 2)[:, 0]
    label = torch.full_like(p, float(IGNORE))
    return label.masked_fill(p < sure[0], 0.0).masked_fill(p > sure[1], 1.0)


def hide(image: Tensor, draw: np.random.Generator, how: str) -> Tensor:
    """Patches of each image `(b, 1, y, x)` at its mean grey.

    Args:
        image: target crops.
        draw: which patches.
        how: `random`; `complementary`, where every second image shows what the one before hides; `none`.
    """
    if how == "none":
        return image
    shown = draw.random((len(image), 1, _PATCHES, _PATCHES)) < (_SHOWN if how == "random" else 0.5)
    if how == "complementary":
        shown[1::2] = ~shown[: len(shown) // 2 * 2 : 2]
    mask = F.interpolate(torch.from_numpy(shown).to(image), size=image.shape[-2:])
    return image * mask + image.mean(dim=(2, 3), keepdim=True) * (1 - mask)


def paste(
    image: Tensor, label: Tensor, source: Tensor, truth: Tensor, draw: np.random.Generator, *, share: float
) -> tuple[Tensor, Tensor]:
    """Target crops with the mitochondria of a source crop pasted in, and labels to match.

    Args:
        image: `(b, 1, y, x)`.
        label: `(b, y, x)`.
        source: `(n, 1, y, x)`.
        truth: `(n, y, x)` of the source.
        draw: which source crop goes where.
        share: of the images that get something.
    """
    images, labels = [], []
    for one, known in zip(image, label, strict=True):
        other = int(draw.integers(len(source)))
        inside = F.max_pool2d(truth[other][None], 2 * _RIM + 1, 1, _RIM) > 0.5
        used = inside if draw.random() < share else torch.zeros_like(inside)
        images.append(torch.where(used, source[other], one))
        labels.append(torch.where(used[0], truth[other], known))
    return torch.stack(images), torch.stack(labels)
