from __future__ import annotations

import numpy as np
import pytest

from morula.core.types import Axes, Segmentation, Volume, Voxel


def test_volume_gives_a_2d_image_with_channels_last() -> None:
    array = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    volume = Volume(array, Axes("cyx"), "a.png", channels=("red", "green", "blue"))
    assert volume.read_yxc().shape == (4, 5, 3)
    assert volume.spatial_shape == (4, 5)
    assert volume.is_rgb


def test_a_grey_image_gets_a_channel_axis() -> None:
    assert Volume(np.zeros((4, 5)), Axes("yx"), "a.png").read_yxc().shape == (4, 5, 1)


def test_axes_shape_and_channel_names_must_agree() -> None:
    with pytest.raises(ValueError, match="does not fit axes"):
        Volume(np.zeros((4, 5)), Axes("cyx"), "a.png")
    with pytest.raises(ValueError, match="3 channels, but 1"):
        Volume(np.zeros((3, 4, 5)), Axes("cyx"), "a.png")
    with pytest.raises(ValueError, match="axes must be one of"):
        Axes("yxc")


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), float("inf")])
def test_a_voxel_has_positive_edges(length: float) -> None:
    with pytest.raises(ValueError, match="positive length"):
        Voxel(y=length, x=1.0)


def test_fingerprints_differ_with_the_voxel_size() -> None:
    array, axes = np.zeros((4, 5)), Axes("yx")
    assert Volume(array, axes, "a").fingerprint != Volume(array, axes, "a", voxel=Voxel(1, 1)).fingerprint


def test_a_segmentation_has_one_score_and_class_per_object() -> None:
    labels = np.array([[0, 1], [2, 2]])
    Segmentation(labels, np.ones(2), ("cell", "cell"))
    with pytest.raises(ValueError, match="2 objects, 1 scores"):
        Segmentation(labels, np.ones(1), ("cell", "cell"))
    with pytest.raises(ValueError, match="integers"):
        Segmentation(labels.astype(float), np.ones(2), ("cell", "cell"))
