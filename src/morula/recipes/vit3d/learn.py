"""Training on random crops of traced stacks."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from morula.engine import LoadReport, Run, Stage, TrainState, cosine, ema_, fit, seeded, update
from morula.recipes.vit3d.config import Vit3dConfig
from morula.recipes.vit3d.crops import Crops, LabelledCrops
from morula.recipes.vit3d.losses import dice_focal, tube_loss
from morula.recipes.vit3d.network import encoder_of, load_encoder, network_of, rates
from morula.recipes.vit3d.stacks import Taught

__all__ = ["learn"]


def learn(
    run: Run, stage: Stage, stacks: Sequence[Taught], config: Vit3dConfig
) -> tuple[nn.Module, LoadReport | None]:
    """The moving average of a network's weights, and what came of natural-image weights, if any.

    Raises:
        DataError: natural-image weights cannot be read or do not fit.
    """
    with seeded(stage.rng("weights")):
        network = network_of(config)
    told = load_encoder(network, config)
    if config.frozen:
        encoder_of(network).requires_grad_(False)
    mean = copy.deepcopy(network).to(run.fabric.device).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(rates(network, config), lr=config.lr)
    model, optimiser = run.fabric.setup(network, optimiser)
    model.train()
    state = TrainState(network=model, mean=mean, optimiser=optimiser)
    crops = Crops(
        stacks,
        config.crop,
        config.batch,
        foreground=config.foreground,
        clutter=config.clutter,
        rng=stage.rng("crops"),
    )

    def step(batch: LabelledCrops) -> dict[str, Tensor]:
        loss = _loss(model(batch.image.to(run.fabric.device)), batch, config)
        rate = cosine(config.lr, state.step, config.steps, warmup=min(20, config.steps // 4))
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        update(run.fabric, optimiser, loss, clip=1.0)
        ema_(mean, network, min(config.momentum, (state.step + 1) / (state.step + 10)))
        return {"loss": loss.detach()}

    fit(step, crops, state, config.steps, stage)
    return mean, told


def _loss(logits: Tensor, batch: LabelledCrops, config: Vit3dConfig) -> Tensor:
    """The loss of all slices, or of the middle one where the network gives no other."""
    depth, middle = logits.shape[2], batch.mask.shape[2] // 2
    mask, known, line = (
        (each if depth == each.shape[2] else each[:, :, middle : middle + 1]).to(logits.device)
        for each in (batch.mask, batch.known, batch.line)
    )
    if config.loss == "dice-focal":
        return dice_focal(logits, mask, known)
    return tube_loss(logits, mask, known, line, recall=config.recall)
