"""InfoNCE against a loop written from the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from morula.core.rng import Rng
from morula.losses import info_nce


def points(count: int, seed: int) -> torch.Tensor:
    raw = Rng(seed).at(0).standard_normal((count, 5))
    return F.normalize(torch.from_numpy(raw), dim=1)


def slow(q: np.ndarray, k: np.ndarray, negatives: np.ndarray, t: float, same: np.ndarray) -> float:
    losses = []
    for b in range(len(q)):
        positive = math.exp(float(q[b] @ k[b]) / t)
        rest = sum(math.exp(float(q[b] @ n) / t) for i, n in enumerate(negatives) if not same[b, i])
        losses.append(-math.log(positive / (positive + rest)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("masked", [0.0, 0.3])
def test_it_is_the_formula(temperature: float, masked: float) -> None:
    q, k, negatives = points(6, 0), points(6, 1), points(17, 2)
    same = Rng(3).at(0).random((6, 17)) < masked
    found = info_nce(q, k, negatives, temperature, torch.from_numpy(same))
    assert float(found) == pytest.approx(slow(q.numpy(), k.numpy(), negatives.numpy(), temperature, same))
    if not masked:
        assert float(info_nce(q, k, negatives, temperature)) == pytest.approx(float(found))


def test_a_query_whose_negatives_are_all_its_own_image_loses_nothing() -> None:
    q, k = points(2, 0), points(2, 1)
    assert float(info_nce(q, k, points(4, 2), 0.2, torch.ones(2, 4, dtype=torch.bool))) == 0.0


def test_its_gradient_is_that_of_the_formula() -> None:
    q, k, negatives = points(3, 0).requires_grad_(True), points(3, 1), points(7, 2)
    assert torch.autograd.gradcheck(lambda each: info_nce(each, k, negatives, 0.5), q)
