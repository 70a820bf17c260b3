"""Neurons of grey values alone, and where self-training finds them."""

from __future__ import annotations

import numpy as np
import pytest

from morula.core.affinities import NEAREST
from morula.core.types import Array, Axes, Volume, Voxel
from morula.engine import Weights, WeightsInfo
from morula.metrics import neuron_scores
from morula.tasks.neurons import Decode, Network, build, grey_affinities, grey_control
from morula.tasks.neurons.finetune import has_affinities
from synthetic import neurites

CUBE = Voxel(z=10, y=10, x=10)


def image() -> Array:
    return neurites(0)[0].astype(np.float32) / 255


def test_neither_a_dark_cell_nor_a_faint_section_counts_as_membrane() -> None:
    """Sections are compared with themselves, so contrast and brightness of each may be anything."""
    grey = image()
    changed = grey * np.linspace(0.3, 1.0, len(grey), dtype=np.float32)[:, None, None] + 0.2
    found, other = (grey_affinities(each, isotropic=False).values for each in (grey, changed))
    plane = slice(1, 3)
    assert found[plane] == pytest.approx(other[plane], abs=1e-3)
    assert 0.2 < found[plane].mean() < 0.99


def test_affinities_are_of_the_nearest_neighbours_and_know_no_border_of_the_volume() -> None:
    found = grey_affinities(image(), isotropic=True)
    assert found.offsets == NEAREST
    assert (
        not found.values[0, 0].any()
        and not found.values[1, :, 0].any()
        and not found.values[2, :, :, 0].any()
    )


def test_the_watershed_of_grey_values_finds_neurons() -> None:
    values, labels = neurites(0)
    found = grey_control(Network(), Decode())(Volume(values, Axes("zyx"), "n", voxel=CUBE)).labels
    one = neuron_scores(np.ones_like(labels), labels)["voi"]
    each = neuron_scores(np.arange(labels.size, dtype=np.int32).reshape(labels.shape) + 1, labels)["voi"]
    assert neuron_scores(found, labels)["voi"] < 0.6 * min(one, each)


@pytest.mark.parametrize(
    ("channels", "isotropic", "able"), [(9, True, True), (9, False, False), (1, True, False)]
)
def test_only_a_network_of_the_same_affinities_finds_neurons(
    channels: int, isotropic: bool, able: bool
) -> None:
    network = Network(widths=(4, 4))
    module = build(network, channels, isotropic=isotropic)
    weights = Weights.of(module, WeightsInfo("neurons.residual_unet3d"))
    assert has_affinities(weights, network, isotropic=isotropic) == able
    headless = {name: tensor for name, tensor in weights.tensors.items() if not name.startswith("out.")}
    assert not has_affinities(Weights(headless, weights.info), network, isotropic=isotropic)
