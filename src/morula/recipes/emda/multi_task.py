"""Strategy 3 of the paper: an Attention Y-Net that reconstructs and segments, in three steps.

    step   loss                          crops                          learns
    1      0.98 MSE + 0.02 BCE           source 1/3, target 2/3         all          SGD  1e-3, m 0.99
    2      MSE                           the same, source in HM         all          Adam 2e-4
    3      BCE                           source, in HM                  bottleneck and segmentation decoder
                                                                                     Adam 2e-4, one cycle

Each step has its published share of the iterations. The public code draws a third of the unlabelled crops
from the source's test part; here all of the source has labels, and all unlabelled crops are the target's.
There is no validation set: the published early stopping and reduction on plateau are left out, and the
checkpoints of step 3 are chosen like all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from morula.engine import Run, Stage, TrainState, Weights, WeightsInfo, fit, seeded, update
from morula.recipes.emda.candidates import keep
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import ynet
from morula.recipes.emda.networks import AttentionYNet
from morula.recipes.emda.schedules import one_cycle, shares
from morula.recipes.emda.segmenter import network_of

__all__ = ["STEPS", "Step", "learn", "learning"]


@dataclass(frozen=True)
class Step:
    """One step of the curriculum.

    Attributes:
        iterations: as published.
        alpha: weight of the reconstruction.
        beta: weight of the segmentation.
        lr: learning rate.
        momentum: of SGD; None for Adam.
        labelled: part of the crops that come from the source.
        styled: whether source crops get the target's histogram.
        frozen: parts of the network that do not learn.
        cycle: whether the rate follows one cycle; else it is constant.
    """

    iterations: int
    alpha: float
    beta: float
    lr: float
    momentum: float | None = None
    labelled: float = 1 / 3
    styled: bool = True
    frozen: tuple[str, ...] = ()
    cycle: bool = False


STEPS = (
    Step(50 * 3600, 0.98, 0.02, 1e-3, momentum=0.99, styled=False),
    Step(40 * 3600, 1.0, 0.0, 2e-4),
    Step(100 * 900, 0.0, 1.0, 2e-4, labelled=1.0, frozen=("encoder", "reconstruction"), cycle=True),
)


@dataclass(frozen=True)
class _Batch:
    image: Tensor
    label: Tensor
    labelled: Tensor


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Runs the three steps, and keeps checkpoints of the third.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.
    """
    counts = shares(config.steps, [step.iterations for step in STEPS])
    with seeded(run.rng("ynet")):
        network = network_of(config)
    assert isinstance(network, AttentionYNet)
    stage = run.stage("step-1", steps=counts[0])
    for number, (plan, count) in enumerate(zip(STEPS, counts, strict=True), start=1):
        if number > 1:
            stage = run.stage("train" if number == len(STEPS) else f"step-{number}", steps=count)
        path = stage.path / "network.safetensors"
        if not stage.done:
            last = number == len(STEPS)
            _fit(run, stage, network, domains, config, plan, count, config.candidates if last else 0)
            Weights.of(network, WeightsInfo("emda.segmenter")).save(path)
            stage.finish()
        Weights.load(path).load_into(network)
    return network, stage


def learning(network: nn.Module, step: Step) -> list[nn.Parameter]:
    """Freezes the parts that a step does not train; returns the parameters that learn."""
    network.requires_grad_(True)
    for name in step.frozen:
        network.get_submodule(name).requires_grad_(False)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _fit(
    run: Run,
    stage: Stage,
    network: AttentionYNet,
    domains: Domains,
    config: EmdaConfig,
    plan: Step,
    steps: int,
    candidates: int,
) -> None:
    parameters = learning(network, plan)
    optimiser: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=plan.lr)
    if plan.momentum is not None:
        optimiser = torch.optim.SGD(parameters, lr=plan.lr, momentum=plan.momentum)
    model, optimiser = run.fabric.setup(network, optimiser)
    model.train()
    state = TrainState(network=model, optimiser=optimiser)
    styled = config if plan.styled else config.model_copy(update={"style": "none"})
    crops, rng = Crops(domains, styled, stage.rng("crops")), stage.rng("domain")

    def batches(index: int) -> _Batch:
        if rng.at(index).random() < plan.labelled:
            drawn = crops.labelled(index)
            return _Batch(drawn.image, drawn.label, torch.ones(len(drawn.image), dtype=torch.bool))
        image = crops.target(index, config.batch)
        return _Batch(image, torch.zeros_like(image[:, 0]), torch.zeros(len(image), dtype=torch.bool))

    def step(batch: _Batch) -> dict[str, Tensor]:
        image, label, labelled = (
            part.to(run.fabric.device) for part in (batch.image, batch.label, batch.labelled)
        )
        painted, logits = model(image)
        loss = ynet(painted, image, logits, label, labelled, alpha=plan.alpha, beta=plan.beta)
        rate = one_cycle(plan.lr, state.step, steps) if plan.cycle else plan.lr
        update(run.fabric, optimiser, loss, lr=rate)
        if candidates:
            keep(stage, network, state.step + 1, steps, candidates)
        return {"loss": loss.detach()}

    fit(step, batches, state, steps, stage)
