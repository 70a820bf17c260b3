"""Finished runs of volumetric recipes whose networks nobody trained: enough to predict with."""

from __future__ import annotations

from pathlib import Path

from morula.core.files import write_json
from morula.core.rng import Rng
from morula.engine import Weights, WeightsInfo, launch, seeded
from morula.recipes.emda import config as emda
from morula.recipes.emda.segmenter import network_of
from morula.recipes.vit3d import config as vit3d
from morula.recipes.vit3d.network import network_of as tracer_of
from morula.tasks import neurons

__all__ = ["emda_run", "neuron_run", "tracing_run"]


def emda_run(path: Path, *, network: str = "attention", views: bool = False, seed: int = 0) -> Path:
    """Recipe emda at the stored pixel size."""
    changes = {"test_augment": views, "network": network, "width": 8}
    config = emda.presets()["smoke"].model_copy(update=changes)
    with seeded(Rng(seed, "weights")):
        made = network_of(config)
    Weights.of(made, WeightsInfo("emda.segmenter")).save(path / "model" / "network.safetensors")
    described = {
        "config": config.model_dump(mode="json"),
        "step": 1,
        "cleaning": {"smallest": 3.0, "window": 3},
        "common": False,
        "pixel_nm": None,
        "zoom": 1.0,
    }
    return _run(path, "emda", described)


def neuron_run(path: Path) -> Path:
    """Recipe mscon with small tiles."""
    settings = neurons.Network(widths=(4, 4, 4), coarse=False, offsets="nearest")
    decode = neurons.Decode(tile=(8, 16, 16), mirrors=1)
    decoder = neurons.Decoder("volume", 1.0, "mean", 0.5, "grey")
    with seeded(Rng(0, "weights")):
        network = neurons.build(settings, len(neurons.offsets_of(settings, isotropic=True)), isotropic=True)
    weights = Weights.of(network, WeightsInfo("neurons.residual_unet3d"))
    neurons.save_segmenter(path / "model", weights, settings, decoder, decode, isotropic=True)
    return _run(path, "mscon", None)


def tracing_run(path: Path) -> Path:
    """Recipe vit3d with a small network."""
    config = vit3d.presets()["smoke"]
    with seeded(Rng(0, "weights")):
        made = tracer_of(config)
    Weights.of(made, WeightsInfo("vit3d.segmenter")).save(path / "model" / "network.safetensors")
    return _run(path, "vit3d", {"config": config.model_dump(mode="json")})


def _run(path: Path, recipe: str, described: dict | None) -> Path:
    write_json(path / "run.json", {"recipe": recipe})
    write_json(path / "config.json", {"precision": "32-true"})
    if described is not None:
        write_json(path / "model" / "model.json", described)
    launch("cpu", "32-true")
    return path
