"""Strategy 2 of the paper: learn to restore crappified images of both domains, then segment the source.

    1  z = crappify(x), x from the target and from the source in its style      L = MSE(sigmoid f(z), x)
    2  freeze the encoder                                                       L = BCE(f(x_s), y_s)

The published patch filter chose target patches by target labels; here patches of both domains are drawn alike
(those mostly black are left out), and no switch brings the leak back. The corruption is drawn anew for every
crop, where the published code draws it once a patch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from morula.engine import Run, Stage, TrainState, Weights, WeightsInfo, fit, seeded, update
from morula.recipes.emda.appearance import crappify
from morula.recipes.emda.candidates import keep
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops, Labelled
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import bce
from morula.recipes.emda.schedules import one_cycle, shares
from morula.recipes.emda.segmenter import network_of

__all__ = ["freeze_encoder", "learn"]

_PRETEXT_LR, _SEGMENT_LR = 5e-4, 1e-4


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Pre-trains, fine-tunes, and keeps checkpoints of the second stage.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.
    """
    first, second = shares(config.steps, (config.pretext_share, 1 - config.pretext_share))
    pretext = run.stage("pretext", steps=first)
    with seeded(pretext.rng("weights")):
        network = network_of(config)
    path = pretext.path / "network.safetensors"
    if pretext.done:
        Weights.load(path).load_into(network)
    else:
        _restore(run, pretext, network, domains, config, first)
        Weights.of(network, WeightsInfo("emda.segmenter")).save(path)
        pretext.finish()
    stage = run.stage("train", steps=second)
    if not stage.done:
        _segment(run, stage, network, domains, config, second)
        stage.finish()
    return network, stage


def freeze_encoder(network: nn.Module) -> list[nn.Parameter]:
    """Stops the encoder from learning; returns what still learns: bottleneck, gates, decoder, head."""
    encoder = network.encoder
    assert isinstance(encoder, nn.Module)
    encoder.requires_grad_(False)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _restore(
    run: Run, stage: Stage, network: nn.Module, domains: Domains, config: EmdaConfig, steps: int
) -> None:
    model, optimiser = run.fabric.setup(network, torch.optim.Adam(network.parameters(), lr=_PRETEXT_LR))
    model.train()
    state = TrainState(network=model, optimiser=optimiser)
    crops, rng = Crops(domains, config, stage.rng("crops")), stage.rng("crappify")

    def batches(index: int) -> tuple[Tensor, Tensor]:
        half = max(1, config.batch // 2)
        clean = torch.cat([crops.labelled(index).image[:half], crops.target(index, half)])
        crappy = [crappify(each.numpy(), rng.child(str(n)), index) for n, each in enumerate(clean)]
        return torch.stack([torch.from_numpy(each) for each in crappy]), clean

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        crappy, clean = (each.to(run.fabric.device) for each in batch)
        loss = F.mse_loss(torch.sigmoid(model(crappy).float()), clean)
        update(run.fabric, optimiser, loss, lr=one_cycle(_PRETEXT_LR, state.step, steps))
        return {"MSE": loss.detach()}

    fit(step, batches, state, steps, stage)


def _segment(
    run: Run, stage: Stage, network: nn.Module, domains: Domains, config: EmdaConfig, steps: int
) -> None:
    optimiser = torch.optim.Adam(freeze_encoder(network), lr=_SEGMENT_LR)
    model, optimiser = run.fabric.setup(network, optimiser)
    model.train()
    state = TrainState(network=model, optimiser=optimiser)
    crops = Crops(domains, config, stage.rng("crops"))

    def step(batch: Labelled) -> dict[str, Tensor]:
        loss = bce(model(batch.image.to(run.fabric.device)), batch.label.to(run.fabric.device))
        update(run.fabric, optimiser, loss, lr=one_cycle(_SEGMENT_LR, state.step, steps))
        keep(stage, network, state.step + 1, steps, config.candidates)
        return {"BCE": loss.detach()}

    fit(step, crops.labelled, state, steps, stage)
