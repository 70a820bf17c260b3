"""Learning affinities from volumes whose neurons are known, from scratch or from pre-trained weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from morula.core.affinities import Offset
from morula.engine import Run, Stage, TrainState, Weights, cosine, ema_, fit, seeded, update
from morula.losses import balance, malis, weighted_bce, weighted_mse
from morula.targets import DESCRIPTORS
from morula.tasks.neurons.block import Dense
from morula.tasks.neurons.crops import Crops, Labelled
from morula.tasks.neurons.geometry import build, described, offsets_of
from morula.tasks.neurons.settings import Finetune, Network, Optimiser

__all__ = ["HEAD", "finetune", "finetuned", "has_affinities", "optimiser_of"]

HEAD = "out."
"""How the tensors of the last convolution begin, whose channels are the affinities."""

_WARMUP = 30  # steps


def finetuned(
    run: Run,
    stage: Stage,
    parts: Sequence[Dense],
    settings: Finetune,
    start: Weights | None,
    *,
    network: Network,
    isotropic: bool,
    chances: Sequence[float] | None = None,
) -> Weights:
    """A network that has learned the affinities of these parts.

    Args:
        run: device and precision.
        stage: keeps checkpoints and curves, and names the randomness.
        parts: where crops come from.
        settings: of the training.
        start: what the network starts from, None for a start from scratch.
        network: settings of the network.
        isotropic: whether z is an axis like the others.
        chances: how often each part is drawn, None for its share of the voxels.

    Raises:
        ValueError: a tensor of `start` fits nowhere.
    """
    offsets = offsets_of(network, isotropic=isotropic)
    channels = len(offsets) + (DESCRIPTORS if settings.shapes else 0)
    with seeded(stage.rng("weights")):
        module = build(network, channels, isotropic=isotropic)
    if start is not None:
        _load(module, start)
    crops = Crops(parts, offsets, settings, stage.rng("crops"), isotropic=isotropic, chances=chances)
    trained = finetune(run, stage, module, crops, offsets, settings)
    found = Weights.of(trained, described(network, isotropic=isotropic))
    return _of_affinities(found, len(offsets))


def finetune(
    run: Run,
    stage: Stage,
    network: nn.Module,
    crops: Callable[[int], Labelled],
    offsets: tuple[Offset, ...],
    settings: Finetune,
) -> nn.Module:
    """Minimises the loss of affinities that the settings name.

    Args:
        run: device and precision.
        stage: keeps checkpoints and curves.
        network: volumes `(b, 1, z, y, x)` to logits of the affinities and, behind them, of the shape
            descriptors if these are learned; changed in place.
        crops: gives batch i.
        offsets: of the affinities.
        settings: of the training.

    Returns:
        The network with averaged weights (with those of the last step, where `average` is 0), on the CPU.
    """
    device = run.fabric.device
    mean = copy.deepcopy(network).to(device).requires_grad_(False)
    model, optimiser = run.fabric.setup(network, optimiser_of(network, settings.optimiser, settings.lr))
    model.train()
    state = TrainState(network=model, mean=mean, optimiser=optimiser)

    def step(batch: Labelled) -> dict[str, Tensor]:
        maps = model(batch.image.to(device))
        logits, shapes = maps[:, : len(offsets)], maps[:, len(offsets) :]
        loss = _of_edges(logits, batch, offsets, settings)
        told = {"loss": loss.detach()}
        if settings.shapes:
            wanted = batch.shapes.to(device)
            inside = (wanted[:, -1:] > 0).float()
            l_shapes = weighted_mse(shapes.sigmoid(), wanted, inside) / DESCRIPTORS
            loss = loss + settings.shapes * l_shapes
            told |= {"loss": loss.detach(), "shapes": l_shapes.detach()}
        rate, clip = _pace(settings, state.step)
        update(run.fabric, optimiser, loss, lr=rate, clip=clip)
        ema_(
            mean,
            network,
            min(settings.average, (state.step + 1) / (state.step + 10)) if settings.average else 0.0,
        )
        return told

    fit(step, crops, state, settings.steps, stage)
    return mean.cpu()


def _pace(settings: Finetune, step: int) -> tuple[float, float]:
    """Learning rate of a step, and the norm that gradients are clipped at, 0 for none."""
    if settings.optimiser != "adamw":
        return settings.lr, 0.0
    return cosine(settings.lr, step, settings.steps, warmup=min(_WARMUP, settings.steps // 4)), 1.0


def optimiser_of(module: nn.Module, name: Optimiser, lr: float) -> torch.optim.Optimizer:
    """AdamW, Adam as torch has it, or that of MS-Con, whose large eps damps it; of all parameters."""
    if name == "plain-adam":
        return torch.optim.Adam(module.parameters(), lr=lr)
    if name == "adam":
        return torch.optim.Adam(module.parameters(), lr=lr, eps=0.01, weight_decay=1e-6, amsgrad=True)
    return torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=1e-3)


def has_affinities(weights: Weights, network: Network, *, isotropic: bool) -> bool:
    """Whether the weights are of a network that gives just the affinities that `network` is to learn."""
    bias = weights.tensors.get(f"{HEAD}bias")
    return bias is not None and len(bias) == len(offsets_of(network, isotropic=isotropic))


def _of_edges(logits: Tensor, batch: Labelled, offsets: tuple[Offset, ...], settings: Finetune) -> Tensor:
    """The loss of the affinities alone."""
    if settings.loss == "malis":
        return malis(logits.sigmoid(), batch.labels, offsets)
    target, known = batch.target.to(logits.device), batch.known.to(logits.device)
    weight = balance(target, known)
    if settings.loss == "mse":
        return weighted_mse(logits.sigmoid(), target, weight)
    return weighted_bce(logits, target, weight) / len(offsets)


def _load(module: nn.Module, start: Weights) -> None:
    """Fills the module; a last convolution of other channels stays untrained."""
    lost = start.load_into(module).skipped
    if any(not name.startswith(HEAD) for name in lost):
        raise ValueError(f"pre-trained weights that fit nowhere: {', '.join(lost)}")


def _of_affinities(whole: Weights, count: int) -> Weights:
    """The weights without channels that were learned beside the affinities; nothing needs these any more."""
    ends = (f"{HEAD}weight", f"{HEAD}bias")
    tensors = {name: tensor[:count] if name in ends else tensor for name, tensor in whole.tensors.items()}
    return Weights({name: tensor.contiguous() for name, tensor in tensors.items()}, whole.info)
