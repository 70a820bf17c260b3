"""Neurons from a big EM volume and a small labelled block, by multiscale consistency (recipe mscon).

After Chen et al., "Learning multiscale consistency for self-supervised electron microscopy instance
segmentation" (ICASSP 2024; arXiv 2308.09917). README.md says where the public code differs and what it costs.

    morula run VOLUME --labels BLOCK --label-offset Z Y X --voxel-size Z Y X --recipe mscon
    morula run VOLUME --voxel-size Z Y X --recipe mscon                    without labels

Preset best trains nine minutes on one CPU core, and has a VOI of 1.2 on FIB-25 (benchmarks/neurons_em).

Algorithm
  1  scale the grey values; cut the labelled block into a training and a validation part
  2  pre-train on the whole volume, without labels and without skips; `best` leaves this out:
       x_w, x_s    a weak and a strong view of a crop x, one geometry for all three
       o_w, o_s    both views reconstruct x                                             L_r
       X, Y        channels of the decoder's pyramid, pooled, in rows                   L_f = MSE(X, Y)
       X', Y'      cross-attention of each view to the other                            L_c, L_s: InfoNCE
       L = L_r + L_f + 0.1 S(X, Y) + 0.5 ( S(X, X') + S(Y, Y') )        weights of preset paper
  3  train itself, without labels: learn affinities of the neurons of a watershed of grey values, find neurons
     with them, learn those of these
  4  fine-tune with skips on affinities of the training part, and beside them of the neurons that 3 finds
  5  tune the threshold of agglomeration on the validation part
  6  predict: tiles, blended; watershed; agglomeration, without labels at a fixed threshold
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from morula.core.types import Record, Segmentation, Volume
from morula.engine import Run, Stage, TrainState, Weights, cosine, fit, seeded, update
from morula.recipes.mscon.config import MsconConfig, Pretrain
from morula.recipes.mscon.config import presets as _presets
from morula.recipes.mscon.consistency import Siamese, coded_similarity, info_nce
from morula.recipes.mscon.views import Pair, Views
from morula.tasks import neurons

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = ["batch_sizes", "checkpoints", "controls", "load", "presets", "pretrain", "story", "train"]

_WARMUP = 30  # steps


def presets() -> Mapping[str, MsconConfig]:
    """The named configs, `best` first; `paper` follows the publication, `scratch` has no pre-training."""
    return _presets()


def train(run: Run, records: Sequence[Record], config: MsconConfig) -> None:
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


def pretrain(run: Run, volumes: neurons.Unlabelled, config: MsconConfig) -> Weights | None:
    """Line 2, an encoder and a decoder that see the same in a weak and in a strong view, and line 3.

    Returns:
        What fine-tuning starts from, None where neither line has a step.
    """
    settings, start = config.pretrain, None
    if settings.steps:
        start = neurons.pretrained(run, volumes, settings, lambda stage: _fit(run, stage, volumes, settings))
    return neurons.self_train(run, volumes, start, config.self_training, config.finetune, config.decode)


def batch_sizes(config: MsconConfig) -> Mapping[str, int]:
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
    records: Sequence[Record], config: MsconConfig
) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """A watershed of the grey values, which knows of no label."""
    return {neurons.GREY_CONTROL: neurons.grey_control(config.network, config.decode)}


def story(path: Path) -> Sequence[Chapter]:
    """The stages of a finished run with their pictures."""
    return neurons.chapters(path)


def _fit(run: Run, stage: Stage, volumes: neurons.Unlabelled, settings: Pretrain) -> nn.Module:
    device, tau = run.fabric.device, settings.temperature
    with seeded(stage.rng("weights")):
        network = neurons.build(volumes.network, 1, isotropic=volumes.isotropic, skips=False)
        siamese = Siamese(network, settings.pooled, everything=settings.channels == "all")
    chosen = neurons.optimiser_of(siamese, settings.optimiser, settings.lr)
    model, optimiser = run.fabric.setup(siamese, chosen)
    model.train()
    state = TrainState(siamese=model, optimiser=optimiser)
    views = Views(volumes, settings, stage.rng("views"))
    contrast = coded_similarity if settings.contrast == "coded" else info_nce

    def step(pair: Pair) -> dict[str, Tensor]:
        x = pair.crop.to(device)
        seen = model(pair.weak.to(device), pair.strong.to(device))
        l_r = 0.5 * F.mse_loss(seen.o_w, x) + 0.5 * F.mse_loss(seen.o_s, x)
        l_f = F.mse_loss(seen.x, seen.y)
        loss = settings.reconstruction * l_r + settings.features * l_f
        losses = {"reconstruction": l_r.detach(), "features": l_f.detach()}
        if settings.contrast != "none":
            l_s = contrast(seen.x, seen.y, tau)
            l_c = contrast(seen.x, seen.x_y, tau) + contrast(seen.y, seen.y_x, tau)
            loss = loss + settings.similarity * l_s + settings.cross * l_c
            losses |= {"similarity": l_s.detach(), "cross": l_c.detach()}
        rate = cosine(settings.lr, state.step, settings.steps, warmup=min(_WARMUP, settings.steps // 4))
        update(run.fabric, optimiser, loss, lr=rate, clip=1.0)
        return {"loss": loss.detach(), **losses}

    fit(step, views, state, settings.steps, stage)
    return network
