"""Learning affinities from a labelled block, from scratch or from pre-trained weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from morula.core.affinities import Offset
from morula.engine import Run, Stage, TrainState, cosine, ema_, fit, update
from morula.losses import balance, weighted_bce, weighted_mse
from morula.targets import DESCRIPTORS
from morula.tasks.neurons.block import Block
from morula.tasks.neurons.crops import Crops, Labelled
from morula.tasks.neurons.settings import Finetune

__all__ = ["finetune"]

_WARMUP = 30  # steps
_PUBLISHED = {"eps": 0.01, "weight_decay": 1e-6, "amsgrad": True}


def finetune(
    run: Run,
    stage: Stage,
    network: nn.Module,
    block: Block,
    offsets: tuple[Offset, ...],
    settings: Finetune,
    *,
    isotropic: bool,
) -> nn.Module:
    """Minimises the balanced loss of affinities on crops of the block's training part.

    Args:
        run: device and precision.
        stage: keeps checkpoints and curves.
        network: volumes `(b, 1, z, y, x)` to logits of the affinities and, behind them, of the shape
            descriptors if these are learned; changed in place.
        block: where crops come from.
        offsets: of the affinities.
        settings: of the training.
        isotropic: whether z is an axis like the others.

    Returns:
        The network with averaged weights (with those of the last step, where `average` is 0), on the CPU.
    """
    device = run.fabric.device
    mean = copy.deepcopy(network).to(device).requires_grad_(False)
    model, optimiser = run.fabric.setup(network, _optimiser(network, settings))
    model.train()
    state = TrainState(network=model, mean=mean, optimiser=optimiser)
    crops = Crops(block, offsets, settings, stage.rng("crops"), isotropic=isotropic)

    def step(batch: Labelled) -> dict[str, Tensor]:
        maps = model(batch.image.to(device))
        logits, shapes = maps[:, : len(offsets)], maps[:, len(offsets) :]
        target, known = batch.target.to(device), batch.known.to(device)
        weight = balance(target, known)
        if settings.loss == "mse":
            loss = weighted_mse(logits.sigmoid(), target, weight)
        else:
            loss = weighted_bce(logits, target, weight) / len(offsets)
        told = {"loss": loss.detach()}
        if settings.shapes:
            wanted = batch.shapes.to(device)
            inside = (wanted[:, -1:] > 0).float()
            l_shapes = weighted_mse(shapes.sigmoid(), wanted, inside) / DESCRIPTORS
            loss = loss + settings.shapes * l_shapes
            told |= {"loss": loss.detach(), "shapes": l_shapes.detach()}
        constant = settings.optimiser == "adam"
        warmup = min(_WARMUP, settings.steps // 4)
        rate = settings.lr if constant else cosine(settings.lr, state.step, settings.steps, warmup=warmup)
        update(run.fabric, optimiser, loss, lr=rate, clip=0.0 if constant else 1.0)
        ema_(
            mean,
            network,
            min(settings.average, (state.step + 1) / (state.step + 10)) if settings.average else 0.0,
        )
        return told

    fit(step, crops, state, settings.steps, stage)
    return mean.cpu()


def _optimiser(network: nn.Module, settings: Finetune) -> torch.optim.Optimizer:
    if settings.optimiser == "adam":
        return torch.optim.Adam(network.parameters(), lr=settings.lr, **_PUBLISHED)  # type: ignore[arg-type]
    return torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=1e-3)
