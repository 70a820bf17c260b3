"""Preset `paper` of recipe psm: prior self-activation maps as the authors' public code has them.

    P. Chen et al., "Exploring Unsupervised Cell Recognition with Prior Self-activation Maps", MICCAI 2023,
    arXiv 2308.11144 (first version, 2022: arXiv 2210.07862).

    morula run images/ --recipe psm --preset paper       (see `config.py` for all hyper-parameters)

1. activation: a random network f learns f(x) = f(rot180 x).
2. maps:       PSM = Grad-CAM of f itself at its three shallow blocks.
3. masks:      K-means of JET(PSM) + beta RGB; the darkest, most active cluster is the pseudo-mask.
4. second:     a ResUNet34 learns the pseudo-masks.
5. voronoi:    its peaks become points, their Voronoi borders separate nuclei.
6. final:      a new ResUNet34 learns pseudo-background, borders and points; argmax, connected components.

Time: `paper_small` takes about half an hour on two busy cores with 8 images (extrapolated from its steps);
the full size is made for a GPU and was not timed.

Score: over 8 crops (256 px) of MoNuSeg training images, the pseudo-masks of `paper_small` after 100 steps
had a pixel IoU of 0.10 and 0.29 (two seeds), those of untrained networks 0.27 to 0.44 (three), those of
colour alone 0.50. With input scale, size filter, colour rule and sign mended: 0.39 and 0.41, 0.28 to 0.43,
and 0.51. The proxy loss was near zero by then, as it is for a constant f.

What differs from the publication:
- The hyper-parameters are those of the code; beta and others of the paper's text could not be verified. The
  paper's scores are not given here: the code measures on centre crops, chooses the epoch by test labels, and
  may merge touching nuclei of the truth, so that they cannot be compared.
- The last epoch is kept; the authors keep the best on labelled test images. No label is read here at all.
- ResNet-34 starts at random and not from ImageNet weights (`second.pretrained`, `final.pretrained`).
- Images smaller than the crop are reflected; grey ones are repeated to three channels.
- Whole images are segmented, not their centre crop.
- Nuclei of one class only: the authors never released the two-class branch.

Other defects are reproduced behind the switches of `Defects`. Two controls tell whether the maps add anything
over colour: see `controls.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from morula.core.config import Config
from morula.core.errors import DataError, UsageError
from morula.core.files import write_json
from morula.core.types import Array, Record, Segmentation, Volume
from morula.engine import (
    Run,
    Stage,
    TrainState,
    Weights,
    WeightsInfo,
    fit,
    progress,
    read_json,
    seeded,
    update,
)
from morula.recipes.psm.paper import voronoi
from morula.recipes.psm.paper.activation import ActivationNetwork, proxy_loss
from morula.recipes.psm.paper.config import Downstream, PaperConfig
from morula.recipes.psm.paper.controls import controls
from morula.recipes.psm.paper.fields import draws, field, random_window, rgb
from morula.recipes.psm.paper.losses import final_loss, nll
from morula.recipes.psm.paper.networks import ResUNet34, imagenet_file, load_imagenet
from morula.recipes.psm.paper.pseudo import channels_first, prior_map, pseudo_mask, untrained
from morula.recipes.psm.paper.segment import foreground, normalise, segmentation
from morula.recipes.psm.paper.story import SHOWN, story

__all__ = ["controls", "load", "story", "train"]

Loss = Callable[..., Tensor]


def train(run: Run, records: Sequence[Record], config: Config) -> None:
    """Fills the run's stages and its `model/`; goes on where an earlier call was stopped.

    Args:
        run: where to.
        records: 2D images; labels are never read.
        config: a `PaperConfig`.

    Raises:
        UsageError: the config is another recipe's, or ImageNet weights are asked for and not there.
        TrainingError: a loss is not finite.
    """
    if not isinstance(config, PaperConfig):
        raise UsageError(
            "preset", f"{type(config).__name__} is no config of preset paper", "use --preset paper"
        )
    if (run.path / "model" / "model.json").exists():
        return
    _check_pretrained(config)
    double = config.defects.double_softmax

    def second_loss(logits: Tensor, mask: Tensor) -> Tensor:
        return nll(logits, mask, double_softmax=double)

    def third_loss(logits: Tensor, mask: Tensor, borders: Tensor) -> Tensor:
        weight = config.final.voronoi_weight
        return final_loss(logits, mask, borders, voronoi_weight=weight, double_softmax=double)

    f = learn_activation(run.stage("activation"), records, config)  # 1
    maps = read_maps(run.stage("maps"), f, records, config)  # 2
    masks = cluster_maps(run.stage("masks"), maps, records, config)  # 3
    learning, targets = run.stage("second"), [(masks, "mask")]
    second = learn_resunet(learning, records, config, config.second, targets, second_loss)  # 4
    points = place_points(run.stage("voronoi"), second, records, config)  # 5
    learning, targets = run.stage("final"), [(masks, "mask"), (points, "target")]
    final = learn_resunet(learning, records, config, config.final, targets, third_loss)  # 6
    _keep_labels(learning, final, records, config)
    _save_model(run.path / "model", final, config)


def learn_activation(stage: Stage, records: Sequence[Record], config: PaperConfig) -> ActivationNetwork:
    """Stage 1: f learns the proxy task on raw pixels of 0-255, without augmentation; Adam, constant rate."""
    how, fabric, path = config.activation, stage.run.fabric, stage.path / "activation.safetensors"
    network = untrained(config, stage.rng("init"))
    if stage.done:
        _load_weights(path, network)
        return network.to(fabric.device)
    plan = draws(
        len(records),
        how.batch,
        stage.rng("order"),
        epochs=how.epochs,
        steps=how.steps,
        folds=True,
        fill=how.proxy == "contrastive",
    )
    module, optimiser = fabric.setup(network, torch.optim.Adam(network.parameters(), lr=how.lr))
    module.train()

    def batch(index: int) -> tuple[Tensor, Tensor]:
        rng = stage.rng("crop").at(index)
        images = [_crop(record, [], config, rng)[0] for record in (records[i] for i in plan[index][1])]
        return torch.stack(images), torch.from_numpy(rng.integers(4, size=len(images)))

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, turns = fabric.to_device(batch)
        loss = proxy_loss(module, images, proxy=how.proxy, turns=turns, margin=how.margin)
        update(fabric, optimiser, loss)
        return {"loss": loss.detach()}

    fit(step, batch, TrainState(network=network, optimiser=optimiser), len(plan), stage)
    Weights.of(network, WeightsInfo(how.network, {"proxy": how.proxy})).save(path)
    stage.finish(steps=len(plan))
    return network


def read_maps(stage: Stage, f: ActivationNetwork, records: Sequence[Record], config: PaperConfig) -> Stage:
    """Stage 2: `<id>-map`, the prior self-activation map of every image, float32 in [0, 1]."""

    def look(number: int, record: Record) -> None:
        image = _field(record, config)
        if number < SHOWN:
            stage.save_array(f"{record.id}-image", image)
        stage.save_array(f"{record.id}-map", prior_map(f, image, config))

    return _for_each(stage, records, "map", look)


def cluster_maps(stage: Stage, maps: Stage, records: Sequence[Record], config: PaperConfig) -> Stage:
    """Stage 3: `<id>-clusters` with nuclei as number 1, and `<id>-mask`, the pseudo-mask of 0 and 1."""

    def look(number: int, record: Record) -> None:
        image, psm = _field(record, config), maps.load_array(f"{record.id}-map")
        clusters, mask = pseudo_mask(psm, image, config, stage.rng("kmeans").at(number))
        stage.save_array(f"{record.id}-clusters", clusters)
        stage.save_array(f"{record.id}-mask", mask.astype(np.uint8))

    return _for_each(stage, records, "mask", look)


def learn_resunet(
    stage: Stage,
    records: Sequence[Record],
    config: PaperConfig,
    how: Downstream,
    targets: Sequence[tuple[Stage, str]],
    loss: Loss,
) -> ResUNet34:
    """Stages 4 and 6: a new ResUNet34 learns targets, without augmentation; Adam, two constant rates.

    Args:
        stage: where to.
        records: the images.
        config: crop and defects.
        how: the schedule.
        targets: stage and kind of the arrays to learn, `<id>-<kind>`.
        loss: takes the logits and each target.
    """
    fabric, path = stage.run.fabric, stage.path / "network.safetensors"
    network = _resunet(stage, how)
    if stage.done:
        _load_weights(path, network)
        return network.to(fabric.device)
    plan = draws(len(records), how.batch, stage.rng("order"), epochs=how.epochs, steps=how.steps)
    module, optimiser = fabric.setup(network, torch.optim.Adam(network.parameters(), lr=how.lr))
    module.train()
    state = TrainState(network=network, optimiser=optimiser)

    def batch(index: int) -> list[Tensor]:
        rng = stage.rng("crop").at(index)
        rows = [_crop(records[i], targets, config, rng) for i in plan[index][1]]
        return [torch.stack(column) for column in zip(*rows, strict=True)]

    def step(batch: list[Tensor]) -> dict[str, Tensor]:
        images, *wanted = fabric.to_device(batch)
        value = loss(module(normalise(images)), *wanted)
        rate = how.lr * (how.gamma if plan[state.step][0] >= how.milestone else 1.0)
        update(fabric, optimiser, value, lr=rate)
        return {"loss": value.detach()}

    fit(step, batch, state, len(plan), stage)
    Weights.of(network, WeightsInfo("ResUNet34", parents=_parents(how))).save(path)
    stage.finish(steps=len(plan))
    return network


def place_points(stage: Stage, second: ResUNet34, records: Sequence[Record], config: PaperConfig) -> Stage:
    """Stage 5: `<id>-probability`, `<id>-points` (y, x in pixels), and `<id>-target` of the final network."""
    how = config.voronoi

    def look(number: int, record: Record) -> None:
        probability = foreground(second, _field(record, config))
        peaks = voronoi.peaks(
            probability,
            blur=how.blur,
            threshold=how.threshold,
            min_distance=how.min_distance,
            exclude_border=how.exclude_border,
        )
        points = voronoi.merge(peaks, how.merge)
        if config.defects.random_points:
            points = voronoi.random_points(points, probability.shape, stage.rng("points").at(number))
        stage.save_array(f"{record.id}-probability", probability.astype(np.float16))
        stage.save_array(f"{record.id}-points", points)
        stage.save_array(f"{record.id}-target", voronoi.target(points, probability.shape, how.disc))

    return _for_each(stage, records, "target", look)


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new images, from the run's `model/` alone.

    Args:
        path: the run's folder.
        fabric: the device.

    Raises:
        DataError: the model is not there, damaged, or another preset's.
    """
    file = path / "model" / "model.json"
    model = read_json(file)
    if model.get("network") != "ResUNet34":
        raise DataError(file, "this is no model of preset paper", "train again with --preset paper")
    network = ResUNet34()
    _load_weights(path / "model" / "network.safetensors", network)
    network.to(fabric.device)

    def predict(volume: Volume) -> Segmentation:
        return segmentation(foreground(network, rgb(volume.read_yxc())))

    return predict


def _field(record: Record, config: PaperConfig) -> Array:
    return field(record.image, config.crop, whole=not config.defects.centre_crop)


def _crop(
    record: Record, targets: Sequence[tuple[Stage, str]], config: PaperConfig, rng: np.random.Generator
) -> list[Tensor]:
    """A random crop of the field, `(3, crop, crop)` of 0-255, and of its targets."""
    image = _field(record, config)
    window = random_window(image.shape, config.crop, rng)
    wanted = [stage.load_array(f"{record.id}-{kind}")[window].astype(np.int64) for stage, kind in targets]
    return [channels_first(image[window]), *map(torch.from_numpy, wanted)]


def _for_each(
    stage: Stage, records: Sequence[Record], last: str, look: Callable[[int, Record], None]
) -> Stage:
    """Calls `look` for every image that has no `<id>-<last>` yet, the array that `look` saves last."""
    if stage.done:
        return stage
    with progress(stage.console, stage.name, len(records)) as advance:
        for number, record in enumerate(records):
            if not (stage.path / f"{record.id}-{last}.npy").exists():
                look(number, record)
            advance({})
    stage.finish(images=len(records))
    return stage


def _check_pretrained(config: PaperConfig) -> None:
    if config.second.pretrained or config.final.pretrained:
        load_imagenet(ResUNet34(), imagenet_file())


def _resunet(stage: Stage, how: Downstream) -> ResUNet34:
    with seeded(stage.rng("init")):
        network = ResUNet34(dropout=how.dropout)
    if how.pretrained:
        load_imagenet(network, imagenet_file())
    return network


def _parents(how: Downstream) -> tuple[str, ...]:
    return ("torchvision resnet34 IMAGENET1K_V1",) if how.pretrained else ()


def _load_weights(path: Path, network: torch.nn.Module) -> None:
    report = Weights.load(path).load_into(network)
    if report.missing or report.skipped:
        wrong = [*report.missing, *report.skipped]
        raise DataError(path, f"{len(wrong)} tensors do not fit, such as {wrong[0]}", "train again")


def _keep_labels(stage: Stage, final: ResUNet34, records: Sequence[Record], config: PaperConfig) -> None:
    for record in records[:SHOWN]:
        stage.save_array(
            f"{record.id}-labels", segmentation(foreground(final, _field(record, config))).labels
        )


def _save_model(folder: Path, network: ResUNet34, config: PaperConfig) -> None:
    """The weights first: `model.json` says that the training is finished."""
    Weights.of(network, WeightsInfo("ResUNet34", parents=_parents(config.final))).save(
        folder / "network.safetensors"
    )
    model = {"recipe": "psm", "preset": config.preset, "network": "ResUNet34", "classes": ["nucleus"]}
    write_json(folder / "model.json", model)
