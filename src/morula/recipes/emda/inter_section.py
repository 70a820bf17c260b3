"""Consistency from section to section on the target.

After Huang et al., "Domain adaptive mitochondria segmentation via enforcing inter-section consistency"
(MICCAI 2022), without its discriminators.

    x_s, y_s ~ source     (u_s, v_s), (y_u, y_v) ~ source pairs     (u, v) ~ target pairs, as far apart
    L_r = L_seg(r(u_s, v_s), y_u xor y_v)
    L_c = [CE(f(u), 1[f(v)] xor 1[r(u, v)]) + CE(f(v), 1[f(u)] xor 1[r(u, v)])] / 2
    L   = L_seg(f(x_s), y_s) + w(step) L_c

What changes between two sections shows in both at once, and looks less different across domains than
mitochondria do. So r, which learned it on the source, holds f to it on the target. Sections of a pair are
equally far apart in both domains where the distances are known.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from morula.engine import Run, Stage, TrainState, cosine, ema_, fit, seeded, update
from morula.recipes.emda.candidates import keep
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops, Labelled
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import bce, bce_dice
from morula.recipes.emda.networks import ResidualUNet
from morula.recipes.emda.segmenter import layout, network_of
from morula.recipes.emda.supervised import averaged, optimiser_of

__all__ = ["inconsistency", "learn"]

_DICE = 0.5
_RISE = 0.25  # of the steps, over which the weight rises


@dataclass(frozen=True)
class _Batch:
    source: Labelled
    pairs: Labelled
    target: Tensor


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Trains f and r, and keeps checkpoints of the averaged f.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.

    Raises:
        DataError: no volume of a domain has two sections as far apart as those of the other.
    """
    stage = run.stage("train", steps=config.steps)
    with seeded(stage.rng("weights")):
        network = network_of(config)
        changes = ResidualUNet(sections=2, width=config.width).to(memory_format=layout(config))
    if not stage.done:
        _fit(run, stage, network, changes, domains, config)
        stage.finish()
    return network, stage


def _fit(
    run: Run, stage: Stage, network: nn.Module, changes: nn.Module, domains: Domains, config: EmdaConfig
) -> None:
    device, steps, shape = run.fabric.device, config.steps, layout(config)
    mean = copy.deepcopy(network).to(device).requires_grad_(False).eval()
    f, optimiser = run.fabric.setup(network, optimiser_of(network.parameters(), config))
    r, other = run.fabric.setup(changes, optimiser_of(changes.parameters(), config))
    f.train()
    r.train()
    state = TrainState(network=f, changes=r, mean=mean, optimiser=optimiser, other=other)
    crops = Crops(domains, config, stage.rng("crops"))

    def step(batch: _Batch) -> dict[str, Tensor | float]:
        weight = config.neighbour_weight * min(1.0, state.step / (_RISE * steps))
        x, y, target = (each.to(device) for each in (batch.source.image, batch.source.label, batch.target))
        pairs, differ = batch.pairs.image.to(device), batch.pairs.label.to(device)
        rate = cosine(config.lr, state.step, steps, warmup=min(20, steps // 4))

        changed = r(torch.cat([pairs, target]).contiguous(memory_format=shape))
        l_r = bce_dice(changed[: len(pairs)], differ, _DICE)
        update(run.fabric, other, l_r, lr=rate, clip=1.0)

        logits = f(torch.cat([x, target[:, :1], target[:, 1:]]).contiguous(memory_format=shape))
        u, v = logits[len(x) :].chunk(2)
        l_c = inconsistency(u, v, changed[len(pairs) :])
        loss = bce_dice(logits[: len(x)], y, _DICE) + weight * l_c
        update(run.fabric, optimiser, loss, lr=rate, clip=1.0)

        ema_(mean, network, averaged(config.momentum, state.step))
        keep(stage, mean, state.step + 1, steps, config.candidates)
        return {"loss": loss.detach(), "changes": l_r.detach(), "inconsistency": l_c.detach()}

    def batches(index: int) -> _Batch:
        ours, theirs = domains.gaps
        return _Batch(
            crops.labelled(index), crops.source_pairs(index, ours), crops.target_pairs(index, theirs)
        )

    fit(step, batches, state, steps, stage)


def inconsistency(u: Tensor, v: Tensor, changed: Tensor) -> Tensor:
    """Mean cross-entropy of each section against what the other one and the change between them say.

    The labels that are made of `u`, `v` and `changed` carry no gradient.

    Args:
        u: logits `(b, 1, y, x)` of one section of each pair.
        v: of the other.
        changed: logits of what is mitochondrion in one of them alone.
    """
    differ = changed.detach() > 0
    expected_u, expected_v = ((each.detach() > 0) ^ differ for each in (v, u))
    return (bce(u, expected_u[:, 0]) + bce(v, expected_v[:, 0])) / 2
