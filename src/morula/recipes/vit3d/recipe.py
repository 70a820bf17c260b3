"""Single neurons in stacks of light microscopy, learned from a few traced ones (recipe vit3d).

After Cheng et al., "Boosting 3D neuron segmentation with 2D vision transformer pre-trained on natural images"
(arXiv 2405.02686, 2024). README.md says what differs between the presets.

    morula run STACKS --labels SWCS --voxel-size Z Y X --out RUN
    morula predict RUN NEW_STACKS --out DIR [--root Z Y X]

Preset best trains six minutes on one CPU core; half of that, four traced stacks and a given root give an F1
of 0.87 at 4 pixel widths (benchmarks/vit3d).

Algorithm
  1  move each trace to where its stack is bright; draw it as a mask; what goes on beyond its root is unknown
  2  f: a 2D network from natural images, or from scratch, whose kernels become 3D        (center or average)
       preset best   inflated ConvNet, shallow path at full resolution, 3D decoder
       preset paper  ViT, patches of 5 slices -> tokens of the middle one -> UPerHead
  3  minimise cross-entropy + Dice + recall of the centre line on crops that prefer the trace; average f
  4  p(neuron) by f in overlapping tiles, mirrored views averaged
  5  the piece of p >= 1/2 with the longest neurites, or the one at the given root; trace it to a tree
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from torch import nn

from morula.core.errors import DataError
from morula.core.files import write_json
from morula.core.types import Array, Record, Segmentation, Volume
from morula.engine import Run, Weights, WeightsInfo, read_json
from morula.post import Tracing
from morula.recipes.vit3d import config as configs
from morula.recipes.vit3d.config import Vit3dConfig
from morula.recipes.vit3d.learn import learn
from morula.recipes.vit3d.network import network_of, told_of_weights
from morula.recipes.vit3d.predict import found_neuron, probability
from morula.recipes.vit3d.stacks import Taught, grey, taught
from morula.recipes.vit3d.story import chapters, save_examples
from morula.recipes.vit3d.threshold import thresholded

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = [
    "Vit3dPredictor",
    "batch_sizes",
    "checkpoints",
    "controls",
    "load",
    "presets",
    "story",
    "tracing_of",
    "train",
]


def presets() -> Mapping[str, Vit3dConfig]:
    """The named configs, `best` first; `scratch` is a plain 3D U-Net, `paper` follows the publication."""
    return configs.presets()


def train(run: Run, records: Sequence[Record], config: Vit3dConfig) -> None:
    """Runs the algorithm; finished stages are skipped.

    Raises:
        DataError: no record is traced, a trace fits only when mirrored, or natural-image weights do not fit.
    """
    stacks = _taught(run, records)  # line 1
    stage = run.stage("train", steps=config.steps, **told_of_weights(config))
    if stage.done:
        return
    network, told = learn(run, stage, stacks, config)  # lines 2, 3
    folder = run.path / "model"
    Weights.of(network, WeightsInfo("vit3d.segmenter")).save(folder / "network.safetensors")
    write_json(folder / "model.json", {"config": config.model_dump(mode="json")})
    fates = ("loaded", "inflated", "skipped") if told is not None else ()
    stage.finish(weights=config.weights, **{fate: list(getattr(told, fate)) for fate in fates})


def batch_sizes(config: Vit3dConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, by the name of the setting."""
    return {"batch": config.batch}


def load(path: Path, fabric: Fabric) -> Vit3dPredictor:
    """What segments and traces new stacks, from the run's folder alone."""
    config = Vit3dConfig.model_validate(read_json(path / "model" / "model.json")["config"])
    network = network_of(config)
    Weights.load(path / "model" / "network.safetensors").load_into(network)
    network.to(fabric.device).eval()
    if config.network != "slice-vit":  # whose weights are those of 2D layers
        network.to(memory_format=torch.channels_last_3d)  # twice as fast on CPUs
    return Vit3dPredictor(network, fabric, config)


def checkpoints(path: Path, fabric: Fabric) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """None: the model is the last one."""
    del path, fabric
    return {}


def controls(
    records: Sequence[Record], config: Vit3dConfig
) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """The classical way: background taken off, a threshold, and the same tracer."""
    del records, config
    return {"threshold": lambda volume: found_neuron(thresholded(volume.read()), tracing=tracing_of(volume))}


def story(path: Path) -> Sequence[Chapter]:
    """The stages of a finished run with their pictures."""
    return chapters(path)


class Vit3dPredictor:
    """A trained network and a tracer, ready for new stacks."""

    def __init__(self, network: nn.Module, fabric: Fabric, config: Vit3dConfig) -> None:
        self._network, self._fabric, self._config = network, fabric, config

    def __call__(self, volume: Volume) -> Segmentation:
        """The neuron with the longest neurites: mask, tree and probability."""
        return self.traced(volume, None)

    def traced(self, volume: Volume, root: Sequence[float] | None) -> Segmentation:
        """The neuron that begins at a root, z, y, x in voxels."""
        return found_neuron(self.likely(volume), root=root, tracing=tracing_of(volume))  # line 5

    def likely(self, volume: Volume) -> Array:
        """The probability of the neuron in every voxel."""
        with self._fabric.autocast():
            device, config = torch.device(self._fabric.device), self._config
            image = grey(volume.read())
            return probability(self._network, image, device, views=config.views, crop=config.crop)  # line 4


def tracing_of(volume: Volume) -> Tracing:
    """How to trace: gaps are measured with sections as deep as they are."""
    size = volume.voxel
    depth = 1.0 if size is None or size.z is None else size.z / size.x
    return Tracing(threshold=0.5, weak=0.25, gap=6.0, depth=depth, speck=30, least_branch=6.0)


def _taught(run: Run, records: Sequence[Record]) -> list[Taught]:
    stage = run.stage("prepare")
    traced = [record for record in records if record.trace is not None]
    if not traced:
        raise DataError(run.path, "no stack is traced", "name the SWC files with --labels")
    stacks = [taught(each.id, each.image.read(), each.trace()) for each in traced if each.trace is not None]
    if not stage.done:
        save_examples(stage, stacks)
        stage.finish(
            stacks={
                each.name: {
                    "shift": each.alignment.shift,
                    "gain": each.alignment.gain,
                    "stands_out": each.alignment.stands_out,
                    "neuron": float(each.mask.mean()),
                    "unknown": float(1 - each.known.mean()),
                    "length": each.tree.length,
                }
                for each in stacks
            }
        )
    return stacks
