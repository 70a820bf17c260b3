"""Prior self-activation maps: cells in 2D without any label (recipe psm).

After Chen et al., "Exploring unsupervised cell recognition with prior self-activation maps" (MICCAI 2023,
arXiv 2308.11144), rebuilt: the published proxy can collapse, and the published cluster rule depends on a
sign. README.md says what each stage adds.

    morula run images/ --recipe psm

Preset best trains 13 minutes on one CPU core for 26 crops of 512 px of H&E, and has an AJI of 0.55 there
(benchmarks/psm).

Algorithm
  1  train f on two views a, b of the user's crops:       L = 1 - corr(f(a), f(b))
  2  P <- Grad-CAM of f at its shallow maps, turned so that it rises with the density
  3  mixture over [density, P, local contrast, hue] of all images; the densest components are foreground
  4  pseudo instances: the best closed contours, scored by edge, roundness, size and foreground
  5  train a U-Net on foreground and centre distance, weighted by the instances' confidence
  6  where all is of one kind, repeat: the mean teacher's maps replace the foreground of 4; train on
  7  predict: objects of f's maps; images of a kind that is rare in the set keep their pseudo labels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from morula.core.errors import UsageError
from morula.core.files import has_content, write_json
from morula.core.rng import Rng
from morula.core.types import Array, Record, Segmentation, Volume
from morula.data.modality import Modality
from morula.engine import (
    Run,
    TrainState,
    Weights,
    WeightsInfo,
    fit,
    once,
    read_json,
    seeded,
    spread,
    update,
)
from morula.nets import UNet2d
from morula.recipes.psm import controls as simple
from morula.recipes.psm.activation import ActivationNet, agreement_loss, orient, self_activation
from morula.recipes.psm.clustering import features, fit_mixture
from morula.recipes.psm.config import PsmConfig, best, fast, smoke
from morula.recipes.psm.controls import checkpoints
from morula.recipes.psm.paper import stages as published
from morula.recipes.psm.paper.config import PaperConfig, paper, paper_small
from morula.recipes.psm.predict import PsmPredictor
from morula.recipes.psm.story import chapters
from morula.recipes.psm.views import two_views
from morula.tasks.cells.batches import Batch, crops
from morula.tasks.cells.controls import pseudo_only
from morula.tasks.cells.front import (
    Prepared,
    SizePrior,
    common_kinds,
    fit_sizes,
    foreground,
    one_kind,
    window,
)
from morula.tasks.cells.pseudo import pseudo_instances, targets
from morula.tasks.cells.standard import middles, prepare
from morula.tasks.cells.student import Course, fit_student, maps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from morula.report import Stage as Chapter

__all__ = ["PsmPredictor", "batch_sizes", "checkpoints", "controls", "load", "presets", "story", "train"]

_VIEWS = 48  # pairs in a step of the activation network
_CLUSTER_SHARE = 0.25  # of the mixture in the first foreground; the rest is one threshold per image
_SAMPLED = 2000  # pixels an image gives to the mixture
_BRIEFLY = frozenset({"IHC", "phase contrast"})  # is how long these kinds are trained:
_BRIEF = 280, 140  # steps at most in the first training, and in a round
_TRUST = 0.5  # how much of the edges comes from the teacher's foreground in a self-training round


def presets() -> Mapping[str, PsmConfig | PaperConfig]:
    """The named configs, `best` first; `paper` follows the publication, its defects behind switches."""
    ours = {"best": best(), "fast": fast(), "smoke": smoke()}
    return {**ours, "paper": paper(), "paper-small": paper_small()}


def train(run: Run, records: Sequence[Record], config: PsmConfig | PaperConfig) -> None:
    """Runs the algorithm; finished stages are skipped, and labels are never read."""
    if isinstance(config, PaperConfig):
        published.train(run, records, config)
        return
    if once(run.fabric, lambda: has_content(run.path / "model" / "model.json")):
        return
    images, priors = _prepare(run, records, config)
    inputs = [image.network_input for image in images]
    activations = _activation(run, images, inputs, config)  # lines 1, 2
    foregrounds = _clusters(run, images, activations, config)  # line 3
    goals = _first_goals(run, images, foregrounds, config)  # line 4
    network = _teacher(run, config)
    for turn, steps in enumerate(_schedule(images, config)):  # lines 5, 6
        network = _learn(run, network, images, inputs, goals, config, turn, steps)
    _save(run, network, priors, common_kinds(images), config)


def batch_sizes(config: PsmConfig | PaperConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, by the name of the setting.

    Raises:
        UsageError: the config follows the paper, whose last batch of an epoch may be any size.
    """
    if isinstance(config, PaperConfig):
        found = f"preset {config.preset} of recipe psm trains in one process"
        raise UsageError("--devices", found, "leave --devices out, or use preset best")
    return {"batch": config.batch, "views of the activation network": _VIEWS}


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new images, from the run's folder alone."""
    if _follows_the_paper(path):
        return published.load(path, fabric)
    described = read_json(path / "model" / "model.json")
    config = PsmConfig.model_validate(described["config"])
    priors = {kind: SizePrior(**prior) for kind, prior in described["sizes"].items()}
    learned = frozenset[Modality](described["learned"])
    network = _network(config)
    Weights.load(path / "model" / "network.safetensors").load_into(network)
    return PsmPredictor(fabric.setup_module(network).eval(), priors, learned, config, fabric)


def controls(
    records: Sequence[Record], config: PsmConfig | PaperConfig
) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """The simple methods that the recipe must beat, and the recipe's own pseudo labels, by name."""
    if isinstance(config, PaperConfig):
        return {**simple.controls(), **published.controls(records, config)}
    rng = Rng(0, "windows")
    priors, _ = fit_sizes([window(record.image, rng, i) for i, record in enumerate(records[: config.images])])

    def pseudo_labels(volume: Volume) -> Segmentation:
        return pseudo_only(volume, priors, config.diameter)

    return {**simple.controls(), "pseudo-labels": pseudo_labels}


def story(path: Path) -> Sequence[Chapter]:
    """The stages of a finished run with their pictures."""
    return published.story(path) if _follows_the_paper(path) else chapters(path)


def _follows_the_paper(path: Path) -> bool:
    return read_json(path / "config.json")["preset"].startswith("paper")


def _prepare(
    run: Run, records: Sequence[Record], config: PsmConfig
) -> tuple[list[Prepared], dict[str, SizePrior]]:
    stage = run.stage("prepare")
    order = run.rng("images").at(0).permutation(len(records))[: config.images]
    arrays = [window(records[index].image, run.rng("windows"), index) for index in np.sort(order).tolist()]
    priors, found = fit_sizes(arrays)
    parts = middles(arrays, found, config.diameter)
    images = [prepare(part, priors, config.diameter, size) for part, size in zip(parts, found, strict=True)]
    stage.save_array("density", images[0].density.astype(np.float16))
    stage.finish(sizes={kind: asdict(prior) for kind, prior in priors.items()})
    return images, priors


def _activation(
    run: Run, images: Sequence[Prepared], inputs: Sequence[Array], config: PsmConfig
) -> list[Array]:
    stage = run.stage("activation", steps=config.activation_steps)
    with seeded(stage.rng("weights")):
        network = ActivationNet()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    model, optimiser = run.fabric.setup(network, optimiser)
    state = TrainState(network=model, optimiser=optimiser)
    rng = stage.rng("views")

    def step(views: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        a, b = (view.to(run.fabric.device) for view in views)
        loss = agreement_loss(model(a), model(b))
        update(run.fabric, optimiser, loss, clip=1.0)
        return {"loss": loss.detach()}

    path = stage.path / "activation.safetensors"
    if not stage.done:
        fit(
            step,
            lambda i: two_views(inputs, rng, i, batch=_VIEWS, size=64),
            state,
            config.activation_steps,
            stage,
        )
        Weights.of(network, WeightsInfo("psm.ActivationNet")).save(path)
    else:
        Weights.load(path).load_into(network)
    network.eval()
    device = run.fabric.device
    raw = spread(
        run.fabric,
        lambda x: self_activation(network, torch.from_numpy(x.astype(np.float32)).to(device)),
        inputs,
    )
    maps, agreement = orient(raw, [image.density for image in images])
    stage.save_array("map", maps[0].astype(np.float16))
    stage.finish(correlation=agreement)
    return maps


def _clusters(
    run: Run, images: Sequence[Prepared], activations: Sequence[Array], config: PsmConfig
) -> list[Array]:
    stage = run.stage("clusters", clusters=config.clusters)

    def values(index: int) -> Array:
        return features(images[index].density, images[index].colour, activations[index])

    found: list[Array] = [np.zeros(0)] * len(images)
    for kind in sorted({image.modality for image in images}):
        own = [index for index, image in enumerate(images) if image.modality == kind]
        rng = stage.rng(kind)
        draws: list[Array] = []
        for index in own:  # one image after the other, for the features of all would fill the memory
            pixels = values(index).reshape(images[index].density.size, -1)
            draws.append(pixels[rng.at(index).integers(len(pixels), size=_SAMPLED)])
        mixture = fit_mixture(np.concatenate(draws), config.clusters, rng.at(0))
        for index in own:
            threshold = foreground(images[index])
            share = _CLUSTER_SHARE * mixture.foreground(values(index))
            found[index] = (share + (1 - _CLUSTER_SHARE) * threshold).astype(np.float32)
    stage.finish(share=_CLUSTER_SHARE)
    return found


def _first_goals(
    run: Run, images: Sequence[Prepared], foregrounds: Sequence[Array], config: PsmConfig
) -> list[Array]:
    stage = run.stage("pseudo")
    pairs = list(zip(images, foregrounds, strict=True))
    found = spread(run.fabric, lambda pair: pseudo_instances(*pair, config.diameter), pairs)
    stage.save_array("foreground", foregrounds[0].astype(np.float16))
    stage.save_array("labels", found[0].labels)
    stage.finish(objects=sum(len(pseudo.confidence) for pseudo in found))
    return [targets(pseudo, inside) for pseudo, inside in zip(found, foregrounds, strict=True)]


def _next_goals(
    network: nn.Module, images: Sequence[Prepared], fabric: Fabric, config: PsmConfig
) -> list[Array]:
    """Line 6: the teacher's foreground takes the place of the clusters', and lends its edges."""

    def goals(image: Prepared) -> Array:
        inside, _ = maps_of(network, image, fabric, augment=config.augment_test)
        return targets(pseudo_instances(image, inside, config.diameter, trust=_TRUST), inside)

    return spread(fabric, goals, images)


def _schedule(images: Sequence[Prepared], config: PsmConfig) -> list[int]:
    """Steps of the first training, and of each self-training round after it; README.md has the numbers.

    No rounds in a mixed set, where the teacher has not learned the rare kinds and its errors there would
    become goals, nor in fluorescence, where the density itself is a better judge than the teacher. In
    immunohistochemistry and phase contrast pseudo labels are wrong most often, and a network that sees them
    for long learns their errors, so training is short.
    """
    kind = one_kind(images)
    if kind in (None, "fluorescence"):
        return [config.steps]
    first, again = _BRIEF if kind in _BRIEFLY else (config.steps, config.round_steps)
    return [min(first, config.steps), *[min(again, config.round_steps)] * config.rounds]


def _learn(
    run: Run,
    teacher: nn.Module,
    images: Sequence[Prepared],
    inputs: Sequence[Array],
    first_goals: Sequence[Array],
    config: PsmConfig,
    turn: int,
    steps: int,
) -> nn.Module:
    stage = run.stage("train" if turn == 0 else f"train-again-{turn}")
    path = stage.path / "teacher.safetensors"
    teacher.to(run.fabric.device)
    if stage.done:
        Weights.load(path).load_into(teacher)
        return teacher
    goals = first_goals if turn == 0 else _next_goals(teacher, images, run.fabric, config)
    rng = stage.rng("crops")

    def batches(index: int) -> Batch:
        return crops(inputs, goals, rng, index, batch=config.batch, size=config.crop)

    fit_student(run, stage, teacher, batches, Course(steps, config.lr, config.momentum))
    Weights.of(teacher, WeightsInfo("unet2d")).save(path)
    inside, _ = maps_of(teacher, images[0], run.fabric, augment=config.augment_test)
    stage.save_array("foreground", inside.astype(np.float16))
    stage.finish()
    return teacher


def _network(config: PsmConfig) -> nn.Module:
    return UNet2d(4, 2, config.widths).to(memory_format=torch.channels_last)  # a fifth faster on CPUs


def _teacher(run: Run, config: PsmConfig) -> nn.Module:
    with seeded(run.rng("network")):
        return _network(config)


def _save(
    run: Run,
    network: nn.Module,
    priors: Mapping[str, SizePrior],
    learned: Sequence[Modality],
    config: PsmConfig,
) -> None:
    folder = run.path / "model"
    Weights.of(network, WeightsInfo("unet2d", {"channels_in": 4, "channels_out": 2})).save(
        folder / "network.safetensors"
    )
    sizes = {kind: asdict(prior) for kind, prior in priors.items()}
    described = {"config": config.model_dump(mode="json"), "sizes": sizes, "learned": list(learned)}
    write_json(folder / "model.json", described)
