"""What a network sees, measured against what its layers say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from morula.blockwise.receptive import receptive_field


def test_convolutions_add_up():
    layers = [nn.Conv2d(1, 2, (3, 5), padding=(1, 2)), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=2, dilation=2)]
    assert receptive_field(nn.Sequential(*layers), (32, 32)) == (3, 4)


def test_poolings_count_with_their_phase():
    layers = [nn.MaxPool3d(2), nn.Conv3d(1, 1, 3, padding=1), nn.Upsample(scale_factor=2)]
    assert receptive_field(nn.Sequential(*layers), (16, 16, 16), stride=2) == (3, 3, 3)


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(1, affine=True), nn.GroupNorm(1, 1)])
def test_a_norm_over_the_image_has_no_reach(norm):
    assert receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), norm), (16, 16)) is None
    assert receptive_field(
        nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)).eval(), (16, 16)
    ) == (1, 1)


def test_a_reach_beyond_the_image_is_not_known():
    assert receptive_field(nn.Conv2d(1, 1, 31, padding=15), (16, 16)) is None
    assert torch.is_grad_enabled()
