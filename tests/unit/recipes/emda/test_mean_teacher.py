from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from morula.recipes.emda.losses import IGNORE
from morula.recipes.emda.mean_teacher import hide, paste, pseudo_label


class Fixed(nn.Module):
    """Logits that are the image itself, moved."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 20 - 10


def test_only_what_the_teacher_is_sure_of_counts():
    image = torch.tensor([0.0, 0.5, 1.0]).repeat(6, 2)[None, None]
    label = pseudo_label(Fixed(), image, (0.1, 0.7))
    assert label[0, 0, :3].tolist() == [0.0, IGNORE, 1.0]


def test_two_views_that_disagree_are_not_sure():
    class Handed(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            columns = torch.arange(image.shape[3]) < image.shape[3] // 2
            return torch.where(columns, 9.0, -9.0).expand(image.shape)

    label = pseudo_label(Handed(), torch.zeros(1, 1, 8, 8), (0.1, 0.7))
    assert (label == IGNORE).float().mean() == pytest.approx(0.5)


def test_complementary_patches_show_everything_once():
    image = torch.rand(2, 1, 40, 40)
    image[1] = image[0]
    shown = hide(image, np.random.default_rng(0), "complementary")
    seen = shown == image
    assert torch.equal(seen[0], ~seen[1])
    assert torch.equal(hide(image, np.random.default_rng(0), "none"), image)
    assert 0.6 < (hide(image, np.random.default_rng(0), "random") == image).float().mean() < 0.95


def test_pasted_mitochondria_bring_their_labels():
    image, label = torch.zeros(3, 1, 16, 16), torch.full((3, 16, 16), float(IGNORE))
    source, truth = torch.ones(1, 1, 16, 16), torch.zeros(1, 16, 16)
    truth[0, 6:10, 6:10] = 1
    mixed, known = paste(image, label, source, truth, np.random.default_rng(0), share=1.0)
    assert (mixed[:, 0, 4:12, 4:12] == 1).all()
    assert mixed.sum() == 3 * 64
    assert (known[:, 6:10, 6:10] == 1).all()
    assert (known[:, 4, 4:12] == 0).all()
    assert (known[:, 0] == IGNORE).all()
    same, untouched = paste(image, label, source, truth, np.random.default_rng(0), share=0.0)
    assert torch.equal(same, image)
    assert torch.equal(untouched, label)
