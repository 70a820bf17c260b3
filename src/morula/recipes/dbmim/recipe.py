"""Neurons from a big EM volume and a small labelled block, by masked image modelling (recipe dbmim).

After Chen et al., "Self-supervised neuron segmentation with multi-agent reinforcement learning" (IJCAI 2023;
arXiv 2310.04148). README.md says what the public code does and why its policy learns nothing.

    morula run VOLUME --labels BLOCK --label-offset Z Y X --voxel-size Z Y X --recipe dbmim
    morula run VOLUME --voxel-size Z Y X --recipe dbmim                    without labels

Preset best was not measured; hiding and restoring alone earned nothing (benchmarks/neurons_em).

Algorithm
  1  scale the grey values; cut the labelled block into a training and a validation part
  2  pre-train on the whole volume, without labels and without skips:
       a        which patches of a crop x are hidden: evenly, in blocks, at edges, or by a policy pi
       e_i      error of patch i, restored from what is left of x: lambda_1 voxels + lambda_2 HOG
       L        = mean of e_i over hidden patches
       R_i      = a_i (e_i - mu) / sigma: how much harder than others a hidden patch was; 0 for a kept one
       L_pi     = mean of -log pi(a_i) (R_i - V_i) + 1/2 (V_i - R_i)^2 over all patches, - beta H(pi)
  3  train itself, without labels: learn affinities of the neurons of a watershed of grey values, find neurons
     with them, learn those of these
  4  fine-tune with skips on affinities of the training part, and beside them of the neurons that 3 finds
  5  tune the threshold of agglomeration on the validation part
  6  predict: tiles, blended; watershed; agglomeration, without labels at a fixed threshold
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd, lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from morula.core.errors import DataError
from morula.core.rng import Rng
from morula.core.types import Array, Record, Segmentation, Volume
from morula.engine import Run, Stage, TrainState, Weights, cosine, fit, seeded, update
from morula.recipes.dbmim.config import DbmimConfig, Pretrain
from morula.recipes.dbmim.config import presets as _presets
from morula.recipes.dbmim.masks import RANKS, edge_scores, hidden
from morula.recipes.dbmim.policy import Policy, choose, policy_loss
from morula.recipes.dbmim.strategy import Strategy, decide, strategy_loss
from morula.recipes.dbmim.targets import BINS, Size, hide, patch_errors, patch_features
from morula.tasks import neurons

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = [
    "Crop",
    "Crops",
    "batch_sizes",
    "checkpoints",
    "controls",
    "load",
    "presets",
    "pretrain",
    "story",
    "train",
]

_WARMUP = 30  # steps
_CELL = 8  # pixels of a histogram of gradients, at most
_FEATURES = 66  # of a patch, for the policy


def presets() -> Mapping[str, DbmimConfig]:
    """The named configs, `best` first; `rl` learns the mask, `scratch` does not pre-train."""
    return _presets()


def train(run: Run, records: Sequence[Record], config: DbmimConfig) -> None:
    """Runs the algorithm, without labels up to line 3; lines 1, 4 and 5 are those of all neuron recipes.

    Raises:
        UsageError: labels are missing where nothing else says what a neuron is, or weights do not fit.
        DataError: the volume or the labelled block cannot be used.
    """
    neurons.train(
        run, records, lambda volumes: pretrain(run, volumes, config),  # lines 2 and 3
        weights=config.weights, network=config.network, self_training=config.self_training,
        finetune=config.finetune, decode=config.decode,
    )  # fmt: skip


def pretrain(run: Run, volumes: neurons.Unlabelled, config: DbmimConfig) -> Weights | None:
    """Line 2, a network that restores what is hidden of a crop, and line 3.

    Returns:
        What fine-tuning starts from, None where neither line has a step.

    Raises:
        DataError: a volume is smaller than two patches.
    """
    settings, start = config.pretrain, None
    if settings.steps:
        start = neurons.pretrained(run, volumes, settings, lambda stage: _fit(run, stage, volumes, settings))
    return neurons.self_train(run, volumes, start, config.self_training, config.finetune, config.decode)


def batch_sizes(config: DbmimConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, by the name of the setting."""
    before = {"pretrain.batch": config.pretrain.batch} if config.pretrain.steps else {}
    return {**before, "finetune.batch": config.finetune.batch}


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new volumes, from the run's folder alone."""
    return neurons.load_segmenter(path / "model", fabric)


def checkpoints(path: Path, fabric: Fabric) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """None: the weights of the last step are taken, nothing is chosen among."""
    del path, fabric
    return {}


def controls(
    records: Sequence[Record], config: DbmimConfig
) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """A watershed of the grey values, which knows of no label."""
    return {neurons.GREY_CONTROL: neurons.grey_control(config.network, config.decode)}


def story(path: Path) -> Sequence[Chapter]:
    """The stages of a finished run with their pictures."""
    return neurons.chapters(path)


@dataclass(frozen=True)
class Crop:
    """What one step works on.

    Attributes:
        image: `(b, 1, z, y, x)`.
        mask: `(b, pz, py, px)` of patches, drawn; all False where a policy decides.
        edges: `(b, n)` edge score of each patch.
        chance: `(b, n)` uniform in [0, 1), for the policies.
        lots: `(b, 2)`, the same for a crop as a whole.
    """

    image: Tensor
    mask: Tensor
    edges: Tensor
    chance: Tensor
    lots: Tensor


class Crops:
    """Draws batches of crops and masks; batch i depends on the stream and i alone.

    Args:
        volumes: where crops come from.
        settings: size, number, mask.
        rng: all the randomness.

    Raises:
        DataError: a volume is smaller than two patches.
    """

    def __init__(self, volumes: neurons.Unlabelled, settings: Pretrain, rng: Rng) -> None:
        self._volumes, self._settings, self._rng = volumes, settings, rng
        auto = neurons.patch_of(isotropic=volumes.isotropic)
        self.patch = auto if settings.patch == "auto" else settings.patch
        z, edge, _ = volumes.size(settings.crop)
        edge -= edge % lcm(*self.patch[1:])  # as wide as high, so that it can be turned
        self._size = (z - z % self.patch[0], edge, edge)
        grid = tuple(size // part for size, part in zip(self._size, self.patch, strict=True))
        if np.prod(grid) < 2:
            found = f"crops of it hold {' x '.join(map(str, grid))} patches of {self.patch} voxels"
            raise DataError("VOLUME", found, "give a larger volume, or a smaller pretrain.patch")
        self._weights = (1.0, 1.0, 1.0) if volumes.isotropic else (0.25, 1.0, 1.0)

    def __call__(self, index: int) -> Crop:
        """Batch `index`."""
        draw = self._rng.at(index)
        parts = zip(*(self._crop(draw) for _ in range(self._settings.batch)), strict=True)
        image, mask, *numbers = (torch.from_numpy(np.stack(part)) for part in parts)
        return Crop(image[:, None], mask, *(each.flatten(1) for each in numbers))

    def _crop(self, draw: np.random.Generator) -> tuple[Array, ...]:
        image = self._volumes.crop(draw, self._size)
        edges = edge_scores(image, self.patch, self._weights)
        chance = draw.random(edges.shape, dtype=np.float32)
        lots = draw.random(2, dtype=np.float32)
        mask = np.zeros(edges.shape, bool)
        if self._settings.mask in RANKS:
            mask = hidden(RANKS[self._settings.mask](draw, edges), self._settings.ratio)
        return image, mask, edges.astype(np.float32), chance, lots


Lesson = Callable[[Tensor], Tensor]
"""From the errors of all patches `(b, n)` to the loss of the policy."""


def _act(pi: Any, x: Tensor, batch: Crop, patch: Size, settings: Pretrain) -> tuple[Tensor, Lesson]:
    """Which patches `(b, n)` a policy hides, and what it learns from their errors."""
    features, chance = patch_features(x, patch), batch.chance.to(x.device)
    if settings.mask == "learned":
        choice = choose(pi, features, chance, settings.ratio)
        return choice.mask, partial(policy_loss, choice, entropy=settings.entropy, credit=settings.credit)
    plan = decide(pi, features, batch.edges.to(x.device), chance, batch.lots.to(x.device))
    return plan.mask, partial(strategy_loss, plan, target=settings.ratio, entropy=settings.entropy)


def _fit(run: Run, stage: Stage, volumes: neurons.Unlabelled, settings: Pretrain) -> nn.Module:
    device = run.fabric.device
    with seeded(stage.rng("weights")):
        network = neurons.build(volumes.network, 1 + BINS, isotropic=volumes.isotropic, skips=False)
        agents = Strategy(_FEATURES) if settings.mask == "strategy" else Policy(_FEATURES)
    model, optimiser = run.fabric.setup(network, torch.optim.AdamW(network.parameters(), weight_decay=0.05))
    pi, pi_optimiser = run.fabric.setup(agents, torch.optim.AdamW(agents.parameters(), weight_decay=1e-4))
    model.train()
    state = TrainState(network=model, optimiser=optimiser, policy=pi, policy_optimiser=pi_optimiser)
    crops = Crops(volumes, settings, stage.rng("crops"))
    patch, cell = crops.patch, gcd(_CELL, *crops.patch[1:])

    def step(batch: Crop) -> dict[str, Tensor]:
        x, mask = batch.image.to(device), batch.mask.to(device)
        lesson = None
        if settings.mask not in RANKS:
            chosen, lesson = _act(pi, x, batch, patch, settings)
            mask = chosen.reshape(mask.shape)
        voxels, edges = patch_errors(model(hide(x, mask, patch)), x, patch, cell)
        count = mask.sum().clamp(min=1)
        l_mse, l_hog = (voxels * mask).sum() / count, (edges * mask).sum() / count
        rate = cosine(settings.lr, state.step, settings.steps, warmup=min(_WARMUP, settings.steps // 4))
        loss = settings.voxels * l_mse + settings.hog * l_hog
        update(run.fabric, optimiser, loss, lr=rate, clip=1.0)
        told = {"loss": loss.detach(), "voxels": l_mse.detach(), "hog": l_hog.detach()}
        if lesson is None:
            return told
        l_pi = lesson((settings.voxels * voxels + settings.hog * edges).flatten(1))
        update(run.fabric, pi_optimiser, l_pi, lr=settings.policy_lr, clip=0.5)
        return {**told, "policy": l_pi.detach(), "hidden": mask.float().mean()}

    fit(step, crops, state, settings.steps, stage)
    return network
