"""PatchNCE against a loop written from the formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from morula.recipes.emda.losses import patch_nce


def slow_patch_nce(query: Tensor, key: Tensor, temperature: float) -> float:
    losses = []
    for image in range(query.shape[0]):
        for place in range(query.shape[1]):
            terms = [
                math.exp(sum(a * b for a, b in zip(query[image, place], other, strict=True)) / temperature)
                for other in key[image]
            ]
            losses.append(-math.log(terms[place] / sum(terms)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("shape", "temperature"), [((1, 2, 3), 0.07), ((3, 7, 4), 0.07), ((2, 5, 8), 1.0)])
def test_patch_nce_is_the_papers_formula(shape: tuple[int, int, int], temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (F.normalize(torch.randn(*shape, generator=generator), dim=-1) for _ in range(2))
    found = float(patch_nce(query, key, temperature))
    assert found == pytest.approx(slow_patch_nce(query, key, temperature), rel=1e-4)
