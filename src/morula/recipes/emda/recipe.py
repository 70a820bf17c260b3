"""Mitochondria across domains of electron microscopy, with labels of the source alone (recipe emda).

After Franco-Barranco et al., "Deep learning based domain adaptation for mitochondria segmentation on EM
volumes" (CMPB 222:106949, 2022; arXiv 2202.10773). README.md says what each stage adds over its control.

    morula run TARGET --source SOURCE --source-labels LABELS --voxel-size Z Y X --source-voxel-size Z Y X

Preset best trains about four minutes on one CPU core; half of that gives an IoU of 0.60 from VNC to CDeep3M
and of 0.53 back (benchmarks/emda).

Algorithm
  1  refuse labels of the target; bring both domains to one pixel size, known or estimated
  2  learn f on the source by one strategy; keep its weights at evenly spaced moments f_1 .. f_n
       supervised    labels of the source, in the style of the target: histogram matching, FDA; (preset best)
       mean-teacher  the same, and an averaged f as teacher on the target
       inter-section the same, and f on the target held to the change from section to section
       cut           translate the target into the style of the source
       ssl           restore crappified images of both domains first
       ynet          three steps of reconstruction and segmentation              (preset paper)
       damt          adversaries on labels and features
  3  where the target's pixel size is a guess: the zoom at which f_n finds objects like the source's
  4  predict the target with every f_i and judge it: last, solidity, composite; none needs its labels
  5  choose f by one of them; tune the cleaning of f's masks on the source alone
  6  predict: tiles, eight views, back to the stored pixels, 3D objects
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from morula.blockwise import BlockModel
from morula.core.errors import UsageError
from morula.core.files import has_content, write_json
from morula.core.types import Array, Record, Segmentation, Volume
from morula.engine import Run, Stage, Weights, WeightsInfo, once, read_json
from morula.recipes.emda import (
    adversarial,
    inter_section,
    mean_teacher,
    multi_task,
    self_supervised,
    supervised,
    translation,
)
from morula.recipes.emda import config as configs
from morula.recipes.emda.blocks import block_model
from morula.recipes.emda.candidates import Judgement, candidate_files, chosen, judge
from morula.recipes.emda.config import Criterion, EmdaConfig
from morula.recipes.emda.decode import Cleaning, probability, segmentation, tune_cleaning
from morula.recipes.emda.domains import Domains, as_bytes, depth_nm, domains_of, pixel_nm, resample
from morula.recipes.emda.segmenter import network_of, segment
from morula.recipes.emda.story import chapters, save_histograms
from morula.recipes.emda.zoom import search_zoom

if TYPE_CHECKING:
    from morula.report import Stage as Chapter

__all__ = [
    "STRATEGIES",
    "EmdaPredictor",
    "batch_sizes",
    "checkpoints",
    "controls",
    "load",
    "presets",
    "story",
    "train",
]

STRATEGIES: Mapping[str, Callable[[Run, Domains, EmdaConfig], tuple[nn.Module, Stage]]] = {
    "supervised": supervised.learn,
    "mean-teacher": mean_teacher.learn,
    "inter-section": inter_section.learn,
    "cut": translation.learn,
    "ssl": self_supervised.learn,
    "ynet": multi_task.learn,
    "damt": adversarial.learn,
}
_ON_TARGET = {"mean-teacher", "inter-section"}  # learn from crops of the target, too


def presets() -> Mapping[str, EmdaConfig]:
    """The named configs, `best` first; one for each strategy alone; `paper` follows the publication."""
    return configs.presets()


def train(run: Run, records: Sequence[Record], config: EmdaConfig) -> None:
    """Runs the algorithm; finished stages are skipped.

    Raises:
        UsageError: there is no source, or a target comes with labels.
        DataError: a volume cannot be used.
    """
    if once(run.fabric, lambda: has_content(run.path / "model" / "model.json")):
        return
    domains = _prepare(run, records, config)  # line 1
    network, learned = STRATEGIES[config.strategy](run, domains, config)  # line 2
    domains = _settle(run, learned, network, domains)  # line 3
    judged = _judge(run, learned, network, domains, config)  # line 4
    _finish(run, learned, network, domains, judged, config)  # line 5


def batch_sizes(config: EmdaConfig) -> Mapping[str, int]:
    """Samples in each batch that several processes share, by the name of the setting.

    Raises:
        UsageError: the strategy translates one image after the other.
    """
    if config.strategy == "cut":
        found = "cut translates one image after the other, in one process"
        raise UsageError("--devices", found, "leave --devices out, or choose another strategy")
    target = {"target_batch": config.target_batch} if config.strategy in _ON_TARGET else {}
    both = {"batch, half of each domain": 2 * max(1, config.batch // 2)} if config.strategy == "ssl" else {}
    return {"batch": config.batch, **target, **both}


def load(path: Path, fabric: Fabric) -> Callable[[Volume], Segmentation]:
    """What segments new volumes, from the run's folder alone."""
    return _predictor(path, path / "model" / "network.safetensors", fabric)


def checkpoints(path: Path, fabric: Fabric) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """Every checkpoint that the model was chosen from, as fast as they were judged: one view, no cleaning."""
    folder = next(path.glob("*-train"))
    files = sorted((folder / "candidates").glob("*.safetensors"))
    return {str(int(file.stem)): _predictor(path, file, fabric, plain=True) for file in files}


def controls(records: Sequence[Record], config: EmdaConfig) -> Mapping[str, Callable[[Volume], Segmentation]]:
    """None without training: the strategies alone are presets, and the benchmark compares them."""
    del records, config
    return {}


def story(path: Path) -> Sequence[Chapter]:
    """The stages of a finished run with their pictures."""
    return chapters(path)


class EmdaPredictor:
    """A trained segmenter, ready for new volumes."""

    def __init__(
        self,
        network: nn.Module,
        zoom: Callable[[Volume], float],
        cleaning: Cleaning,
        fabric: Fabric,
        views: bool,
    ) -> None:
        self._network, self._zoom, self._cleaning = network, zoom, cleaning
        self._fabric, self._views = fabric, views

    def __call__(self, volume: Volume) -> Segmentation:
        """Numbered mitochondria of a volume, at its own pixel size."""
        stack = resample(as_bytes(volume), self._zoom(volume))
        maps = _maps(self._network, stack, self._fabric, augment=self._views)
        return segmentation(maps, volume.spatial_shape, self._cleaning.at(depth_nm(volume)))

    def blocks(self, volume: Volume) -> BlockModel:
        """The same for a volume of any size."""
        zoom, cleaning = self._zoom(volume), self._cleaning.at(depth_nm(volume))
        return block_model(self._network, volume, zoom, cleaning, self._fabric, views=self._views)


def _prepare(run: Run, records: Sequence[Record], config: EmdaConfig) -> Domains:
    domains = domains_of(records, harmonise=config.harmonise, edge=config.pixel_nm)
    stage = run.stage("prepare", harmonise=config.harmonise, edge=config.pixel_nm)
    if not stage.done:
        save_histograms(stage, domains, config)
        stage.save_array("source", domains.source.images[0][len(domains.source.images[0]) // 2])
        stage.save_array("target", domains.target.images[0][len(domains.target.images[0]) // 2])
        stage.finish(common=domains.common, source_zooms=domains.source.zooms)
    return domains


def _settle(run: Run, learned: Stage, network: nn.Module, domains: Domains) -> Domains:
    stage = run.stage("zoom")
    if not stage.done:
        zoom, scores = domains.target.zooms[0], dict[float, float]()
        if domains.stored:
            Weights.load(candidate_files(learned)[-1]).load_into(network)

            def predict(stack: Array) -> Array:
                return _maps(network, stack, run.fabric, augment=False)

            stored, guesses = domains.stored, domains.target.zooms
            found = once(run.fabric, lambda: search_zoom(predict, stored, domains.source, guesses))
            zoom, scores = found.zoom, found.scores
        settled = domains.zoomed(zoom) if domains.stored else domains
        stage.finish(
            zoom=zoom,
            zooms=list(scores),
            scores=list(scores.values()),
            target_zooms=settled.target.zooms,
            pixel_nm=settled.pixel_nm,
            ratio=settled.ratio,
        )
    return domains.zoomed(stage.summary["zoom"]) if domains.stored else domains


def _judge(
    run: Run, learned: Stage, network: nn.Module, domains: Domains, config: EmdaConfig
) -> list[Judgement]:
    stage = run.stage("select", select=config.select)
    if stage.done:
        return [Judgement.of_json(row) for row in stage.summary["candidates"]]

    def predict(file: Path) -> list[Array]:
        Weights.load(file).load_into(network)
        return [_maps(network, stack, run.fabric, augment=False) for stack in domains.target.images]

    judged = once(run.fabric, lambda: judge(candidate_files(learned), predict, domains))
    criteria: tuple[Criterion, ...] = ("last", "solidity", "composite")
    stage.finish(
        select=config.select,
        chosen={name: chosen(judged, name).step for name in criteria},
        candidates=[each.as_json() for each in judged],
    )
    return judged


def _finish(
    run: Run,
    learned: Stage,
    network: nn.Module,
    domains: Domains,
    judged: Sequence[Judgement],
    config: EmdaConfig,
) -> None:
    step = chosen(judged, config.select).step
    file = next(file for file in candidate_files(learned) if int(file.stem) == step)
    Weights.load(file).load_into(network)
    cleaning = Cleaning()
    if config.clean:
        cleaning = once(run.fabric, lambda: _cleaning(network, domains, run.fabric))
    folder = run.path / "model"
    Weights.of(network, WeightsInfo("emda.segmenter")).save(folder / "network.safetensors")
    described = {
        "config": config.model_dump(mode="json"),
        "step": step,
        "cleaning": asdict(cleaning),
        "common": domains.common,
        "pixel_nm": domains.pixel_nm,
        "zoom": float(np.mean(domains.target.zooms)),
    }
    write_json(folder / "model.json", described)


def _cleaning(network: nn.Module, domains: Domains, fabric: Fabric) -> Cleaning:
    maps = [_maps(network, stack, fabric, augment=False) for stack in domains.source.images]
    return tune_cleaning(maps, domains.source.masks, domains.source.depth_nm)


def _predictor(path: Path, weights: Path, fabric: Fabric, *, plain: bool = False) -> EmdaPredictor:
    described = read_json(path / "model" / "model.json")
    config = EmdaConfig.model_validate(described["config"])
    edge, zoom = described["pixel_nm"], described["zoom"]
    network = network_of(config)
    Weights.load(weights).load_into(network)

    def zoom_of(volume: Volume) -> float:
        size = pixel_nm(volume)
        return zoom if edge is None or size is None or not described["common"] else size / edge

    cleaning = Cleaning() if plain else Cleaning(**described["cleaning"])
    views = config.test_augment and not plain
    return EmdaPredictor(network.to(fabric.device), zoom_of, cleaning, fabric, views)


def _maps(network: nn.Module, stack: Array, fabric: Fabric, *, augment: bool) -> Array:
    network.to(fabric.device).eval()
    with fabric.autocast():
        return probability(segment(network), stack, torch.device(fabric.device), augment=augment)
