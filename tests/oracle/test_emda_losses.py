"""PatchNCE and gradient reversal against loops written from the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from morula.recipes.emda.losses import patch_nce, reverse_gradient


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


def slow_adversarial_gradients(x: list[float], w: float, v: float, strength: float) -> tuple[float, float]:
    """By hand: feature f = w x, domain loss mean((v f - 1)^2); w climbs it, v descends."""
    slopes = [2 * (v * w * value - 1) / len(x) for value in x]
    of_v = sum(slope * w * value for slope, value in zip(slopes, x, strict=True))
    of_w = sum(slope * v * value for slope, value in zip(slopes, x, strict=True))
    return -strength * of_w, of_v


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_reversal_turns_the_gradient_below_it_alone(strength: float) -> None:
    x = [0.5, -1.0, 2.0]
    w, v = (torch.tensor(value, requires_grad=True) for value in (0.7, -0.4))
    ((v * reverse_gradient(w * torch.tensor(x), strength) - 1) ** 2).mean().backward()
    of_w, of_v = slow_adversarial_gradients(x, 0.7, -0.4, strength)
    assert w.grad is not None and v.grad is not None
    assert float(w.grad) == pytest.approx(of_w, rel=1e-5, abs=1e-9)
    assert float(v.grad) == pytest.approx(of_v, rel=1e-5)
