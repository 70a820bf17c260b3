from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from morula.recipes.emda.inter_section import inconsistency


def test_each_section_is_held_to_the_other_and_the_change():
    u, v, changed = torch.randn(3, 2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for a, b, c in zip(u.flatten().tolist(), v.flatten().tolist(), changed.flatten().tolist(), strict=True):
        for one, other in ((a, b), (b, a)):
            expected = float((other > 0) != (c > 0))
            total += F.binary_cross_entropy_with_logits(torch.tensor(one), torch.tensor(expected)).item() / 2
    assert inconsistency(u, v, changed).item() == pytest.approx(total / u.numel(), rel=1e-5)


def test_two_sections_that_agree_with_the_change_cost_nothing():
    u = torch.tensor([20.0, -20.0, 20.0, -20.0])[None, None, None]
    v = torch.tensor([20.0, -20.0, -20.0, 20.0])[None, None, None]
    changed = torch.tensor([-1.0, -1.0, 1.0, 1.0])[None, None, None]
    assert inconsistency(u, v, changed) < 1e-6
    assert inconsistency(u, v, -changed) > 10


def test_no_gradient_reaches_the_network_of_changes():
    u, v, changed = (torch.randn(1, 1, 4, 4, requires_grad=True) for _ in range(3))
    inconsistency(u, v, changed).backward()
    assert u.grad is not None and v.grad is not None
    assert changed.grad is None
