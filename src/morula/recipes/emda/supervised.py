"""Training on the source's labels alone; style enters through the crops. The control of all others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from morula.engine import Run, Stage, TrainState, cosine, ema_, fit, seeded, update
from morula.recipes.emda.candidates import keep
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops, Labelled
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import bce, bce_dice
from morula.recipes.emda.segmenter import layout, network_of

__all__ = ["averaged", "fit_supervised", "learn", "optimiser_of"]

_DICE = 0.5  # weight of the Dice term beside cross-entropy


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Trains on source crops, and keeps checkpoints.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.
    """
    stage = run.stage("train", steps=config.steps)
    with seeded(stage.rng("weights")):
        network = network_of(config)
    if not stage.done:
        fit_supervised(run, stage, network, domains, config, config.steps)
        stage.finish()
    return network, stage


def fit_supervised(
    run: Run,
    stage: Stage,
    network: nn.Module,
    domains: Domains,
    config: EmdaConfig,
    steps: int,
    wrap: Callable[[nn.Module], nn.Module] = lambda mean: mean,
) -> None:
    """Minimises cross-entropy (with Dice, but for the published network) on source crops.

    The checkpoints are moving averages of the weights; with `sgd`, as published, the weights themselves.

    Args:
        run: device and precision.
        stage: keeps the checkpoints.
        network: changed in place.
        domains: where crops come from.
        config: of the training.
        steps: of the training.
        wrap: makes of the averaged network what a checkpoint holds.
    """
    mean = copy.deepcopy(network).to(run.fabric.device).requires_grad_(False).eval()
    optimiser = optimiser_of(network.parameters(), config)
    model, optimiser = run.fabric.setup(network, optimiser)
    model.train()
    state = TrainState(network=model, mean=mean, optimiser=optimiser)
    crops = Crops(domains, config, stage.rng("crops"))

    def step(batch: Labelled) -> dict[str, Tensor]:
        logits = model(batch.image.to(run.fabric.device, memory_format=layout(config)))
        label = batch.label.to(run.fabric.device)
        loss = bce(logits, label) if config.optimiser == "sgd" else bce_dice(logits, label, _DICE)
        constant = config.optimiser == "sgd"
        rate = config.lr if constant else cosine(config.lr, state.step, steps, warmup=min(20, steps // 4))
        update(run.fabric, optimiser, loss, lr=rate, clip=1.0)
        ema_(mean, network, 0.0 if constant else averaged(config.momentum, state.step))
        keep(stage, wrap(mean), state.step + 1, steps, config.candidates)
        return {"loss": loss.detach()}

    fit(step, crops.labelled, state, steps, stage)


def optimiser_of(parameters: Iterable[Tensor], config: EmdaConfig) -> torch.optim.Optimizer:
    """AdamW, or the published SGD with momentum 0.99."""
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=0.99)
    return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=1e-3)


def averaged(momentum: float, step: int) -> float:
    """Momentum of the mean at a step: small at first, so that the untrained weights are soon forgotten."""
    return min(momentum, (step + 1) / (step + 10))
