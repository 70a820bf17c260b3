import pytest
import torch

from morula.losses import soft_dice, weighted_mean


def test_dice_of_equal_masks_is_nearly_zero():
    mask = torch.ones(2, 4, 4)
    assert float(soft_dice(mask, mask, mask)) == pytest.approx(0)


def test_dice_by_hand():
    a, b = torch.tensor([[[1.0, 1.0, 0.0]]]), torch.tensor([[[0.0, 1.0, 1.0]]])
    assert float(soft_dice(a, b, torch.ones(1, 1, 3))) == pytest.approx(1 - 3 / 5)


def test_pixels_without_weight_do_not_count():
    loss, weight = torch.tensor([[[1.0, 9.0]]]), torch.tensor([[[1.0, 0.0]]])
    assert float(weighted_mean(loss, weight)) == 1
    assert float(weighted_mean(loss, 0 * weight)) == 0
