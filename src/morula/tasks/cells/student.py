"""A student learns from goals that may be wrong; its moving average is the teacher, and what is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from morula.core.types import Array
from morula.engine import Run, Stage, TrainState, cosine, ema_, fit, update
from morula.tasks.cells.batches import Batch
from morula.tasks.cells.decode import network_maps, tile_maps
from morula.tasks.cells.front import Prepared
from morula.tasks.cells.loss import loss_of

__all__ = ["Course", "fit_student", "maps_of", "maps_of_tile"]


@dataclass(frozen=True)
class Course:
    """How long and how fast a student learns.

    Attributes:
        steps: of the optimiser.
        lr: the highest rate; a tenth of the steps rises to it, the rest falls as a cosine.
        momentum: of the moving average once it is warm, in [0, 1).
    """

    steps: int
    lr: float
    momentum: float


def fit_student(
    run: Run, stage: Stage, teacher: nn.Module, batches: Callable[[int], Batch], course: Course
) -> None:
    """Trains a copy of the teacher; the teacher, in place, becomes the moving average of its weights.

    A fixed momentum would keep the first, random weights for long, so the average starts with short memory:
    after t steps it is at most (t + 1) / (t + 10).

    Args:
        run: whose device and precision are used.
        stage: that keeps checkpoints; a stopped one goes on from the last.
        teacher: on the run's device.
        batches: crops and their targets by the number of the step.
        course: steps, rate and momentum.
    """
    student = copy.deepcopy(teacher)
    optimiser = torch.optim.AdamW(student.parameters(), lr=course.lr, weight_decay=1e-3)
    model, optimiser = run.fabric.setup(student, optimiser)
    model.train()
    state = TrainState(student=model, teacher=teacher, optimiser=optimiser)

    def step(batch: Batch) -> dict[str, Tensor]:
        loss = loss_of(model(batch.image.to(run.fabric.device)), batch.target.to(run.fabric.device))
        rate = cosine(course.lr, state.step, course.steps, warmup=course.steps // 10)
        update(run.fabric, optimiser, loss, lr=rate, clip=1.0)
        ema_(teacher, student, min(course.momentum, (state.step + 1) / (state.step + 10)))
        return {"loss": loss.detach()}

    fit(step, batches, state, course.steps, stage)


def maps_of(network: nn.Module, image: Prepared, fabric: Fabric, *, augment: bool) -> tuple[Array, Array]:
    """Foreground probability and centre distance of an image, `(y, x)` each, at the run's precision.

    Args:
        network: put into evaluation mode.
        image: at the common scale.
        fabric: whose device and precision are used.
        augment: average over four turned and mirrored copies.
    """
    network.eval()
    with fabric.autocast():
        return network_maps(network, image, fabric.device, augment=augment)


def maps_of_tile(network: nn.Module, tile: Prepared, fabric: Fabric, *, augment: bool) -> Array:
    """The same of one tile with its halo, `(2, y, x)`.

    Args:
        network: put into evaluation mode.
        tile: a part of an image at the common scale.
        fabric: whose device and precision are used.
        augment: average over four turned and mirrored copies.
    """
    network.eval()
    with fabric.autocast():
        return tile_maps(network, torch.from_numpy(tile.network_input), fabric.device, augment=augment)
