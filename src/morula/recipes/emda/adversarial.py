"""DAMT-Net, the adversarial comparator (Peng, Yi and Yuan, 2020), as the paper's authors ran it.

L_G = CE(seg source) + 5e-4 (MSE source + MSE target) / 2 + 1e-3 (BCE(D_label) + CE(D_feature))
L_D = half for the source, half for the target, of each discriminator
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from morula.engine import Run, Stage, TrainState, fit, seeded, update
from morula.recipes.emda.candidates import keep
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops, Labelled
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import damt_discriminators, damt_generator
from morula.recipes.emda.networks import DamtNet, FeatureDiscriminator, LabelDiscriminator
from morula.recipes.emda.schedules import stairs
from morula.recipes.emda.segmenter import network_of, stretch

__all__ = ["learn"]

_BETAS = (0.9, 0.99)
_GENERATOR, _DISCRIMINATOR = (5e-5, 6000), (1e-4, 3000)  # learning rate, steps until it falls by a tenth


@dataclass(frozen=True)
class _Batch:
    source: Labelled
    target: Tensor


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Trains generator and discriminators in turn, and keeps checkpoints of the generator.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.
    """
    stage = run.stage("train", steps=config.steps)
    with seeded(stage.rng("weights")):
        network = network_of(config)
        by_label = LabelDiscriminator(width=config.width)
        by_feature = FeatureDiscriminator(config.crop, channels=config.width)
    assert isinstance(network, DamtNet)
    if not stage.done:
        _fit(run, stage, network, by_label, by_feature, domains, config)
        stage.finish()
    return network, stage


def _fit(
    run: Run,
    stage: Stage,
    network: DamtNet,
    by_label: LabelDiscriminator,
    by_feature: FeatureDiscriminator,
    domains: Domains,
    config: EmdaConfig,
) -> None:
    fabric, device = run.fabric, run.fabric.device
    model, optimiser = fabric.setup(
        network, torch.optim.Adam(network.parameters(), lr=_GENERATOR[0], betas=_BETAS)
    )
    judges = nn.ModuleDict({"label": by_label, "feature": by_feature}).to(device)
    adam = torch.optim.Adam(judges.parameters(), lr=_DISCRIMINATOR[0], betas=_BETAS)
    _, hunter = fabric.setup(judges, adam)
    model.train()
    state = TrainState(network=model, optimiser=optimiser, judges=judges, hunter=hunter)
    crops = Crops(domains, config, stage.rng("crops"))

    def step(batch: _Batch) -> dict[str, Tensor]:
        source, target = (stretch(each.to(device)) for each in (batch.source.image, batch.target))
        label = batch.source.label.round().to(device)
        painted_s, feature_s, logits_s = model(source)
        painted_t, feature_t, logits_t = model(target)
        maps_s, maps_t = logits_s.float().softmax(1), logits_t.float().softmax(1)
        judges.requires_grad_(False)
        with fabric.autocast():
            fooled = by_label(maps_t), by_feature(feature_t)
        loss = damt_generator(logits_s, label, (painted_s, painted_t), (source, target), *fooled)
        update(fabric, optimiser, loss, lr=stairs(_GENERATOR[0], state.step, _GENERATOR[1]))
        judges.requires_grad_(True)
        with fabric.autocast():
            label_scores = by_label(maps_s.detach()), by_label(maps_t.detach())
            feature_scores = by_feature(feature_s.detach()), by_feature(feature_t.detach())
        told = sum(damt_discriminators(label_scores, feature_scores), torch.zeros((), device=device))
        update(fabric, hunter, told, lr=stairs(_DISCRIMINATOR[0], state.step, _DISCRIMINATOR[1]))
        keep(stage, network, state.step + 1, config.steps, config.candidates)
        return {"generator": loss.detach(), "discriminators": told.detach()}

    def batches(index: int) -> _Batch:
        return _Batch(crops.labelled(index), crops.target(index, config.batch))

    fit(step, batches, state, config.steps, stage)
