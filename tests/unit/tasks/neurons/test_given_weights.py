"""Which weights a network starts from: those of the same architecture, all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morula.core.errors import UsageError
from morula.core.rng import Rng
from morula.engine import Run, Weights, launch, seeded
from morula.tasks.neurons import Network, Unlabelled, build
from morula.tasks.neurons.geometry import described
from morula.tasks.neurons.unlabelled import given_weights

PLAIN: dict[str, Any] = {"widths": (4, 6)}
SMALL: dict[str, Any] = {"backbone": "unetr", "unetr_width": 32, "unetr_depth": 4, "unetr_features": 2}


def volumes(*, isotropic: bool = True, **network: Any) -> Unlabelled:
    return Unlabelled((np.zeros((8, 16, 16), np.float32),), isotropic, Network(**network))


def saved(path: Path, of: Unlabelled, *, skips: bool = True, told: bool = True) -> Path:
    """Weights of a network with nine affinities; of `told` nothing, as earlier versions wrote them."""
    with seeded(Rng(0, "weights")):
        network = build(of.network, 9, isotropic=of.isotropic, skips=skips)
    info = described(of.network, isotropic=of.isotropic)
    Weights.of(network, info if told else replace(info, arguments={})).save(path)
    return path


def taken(folder: Path, file: Path, ours: Unlabelled) -> Weights:
    run = Run.open(folder / "run", recipe="mscon", config={}, data={}, seed=0, fabric=launch("cpu"))
    return given_weights(run, file, ours)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("network", [PLAIN, SMALL])
def test_weights_of_the_same_network_are_taken(network: dict[str, Any], told: bool, tmp_path: Path) -> None:
    file = saved(tmp_path / "w.safetensors", volumes(**network), skips=False, told=told)
    assert "out.bias" in taken(tmp_path, file, volumes(**network)).tensors
    nearest = volumes(**network, offsets="nearest")
    assert "out.bias" not in taken(tmp_path / "nearest", file, nearest).tensors


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (volumes(**PLAIN), volumes(**PLAIN, coarse=False), r"stride \[2, 2, 2\], not \[1, 1, 1\]"),
        (volumes(**PLAIN), volumes(**PLAIN, isotropic=False), r"kernel \[3, 3, 3\], not \[1, 3, 3\]"),
        (volumes(**SMALL), volumes(**{**SMALL, "unetr_depth": 6}), "depth 4, not 6"),
        (volumes(**PLAIN), volumes(**SMALL), "architecture neurons.residual_unet3d, not neurons.unetr3d"),
    ],
)
def test_weights_of_another_network_are_refused(
    theirs: Unlabelled, ours: Unlabelled, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        taken(tmp_path, saved(tmp_path / "w.safetensors", theirs), ours)


@pytest.mark.parametrize("depths", [(4, 6), (6, 4)])
def test_of_weights_that_say_nothing_every_tensor_must_fit(depths: tuple[int, int], tmp_path: Path) -> None:
    theirs, ours = (volumes(**{**SMALL, "unetr_depth": depth}) for depth in depths)
    file = saved(tmp_path / "w.safetensors", theirs, told=False)
    with pytest.raises(UsageError, match="24 tensors fit nowhere or are missing"):
        taken(tmp_path, file, ours)
