"""Whom a run believes: its network, or the pseudo labels of kinds that nobody labelled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from morula.core.errors import DataError
from morula.core.types import Axes, Volume
from morula.engine import launch
from morula.recipes.cupre.config import CupreConfig
from morula.recipes.cupre.look import Look
from morula.recipes.cupre.predict import CuprePredictor
from morula.tasks.cells.front import SizePrior
from synthetic import field

DIAMETER = 22.0


class Everywhere(nn.Module):
    """Sees one object that fills the image."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.new_full((len(image), 2, *image.shape[2:]), 5.0)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    pixels, _ = field(0, look="fluorescence", size=160)
    return pixels


def predictor(*labelled: str, normalise: bool = True) -> CuprePredictor:
    fabric = launch("cpu", "32-true")
    look = Look(normalise, DIAMETER, {"fluorescence": SizePrior(3.0, 0.1)}, 0.0)
    config = CupreConfig(augment_test=False)
    return CuprePredictor(Everywhere(), look, frozenset(labelled), config, fabric)


def found(run: CuprePredictor, image: np.ndarray) -> np.ndarray:
    return run(Volume(np.moveaxis(image, -1, 0), Axes("cyx"), "image", channels=("r", "g", "b"))).labels


def test_a_kind_that_was_labelled_is_the_networks(image: np.ndarray) -> None:
    labels = found(predictor("fluorescence"), image)
    assert labels.max() == 1 and (labels > 0).mean() > 0.9


def test_another_kind_keeps_its_pseudo_labels_where_the_network_disagrees(image: np.ndarray) -> None:
    labels, truth = found(predictor("H&E"), image), field(0, look="fluorescence", size=160)[1]
    assert labels.max() >= 0.9 * truth.max()
    assert np.count_nonzero((labels > 0) & (truth > 0)) > 0.8 * np.count_nonzero((labels > 0) | (truth > 0))


def test_the_control_believes_its_network_alone(image: np.ndarray) -> None:
    assert found(predictor(normalise=False), image).max() == 1


def test_a_large_image_of_another_kind_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DataError, match="no image was labelled"):
        predictor("H&E").sight(image, "slide")
    assert not predictor("fluorescence").sight(image, "slide").verdict.failed
