from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from morula.recipes.psm.paper.losses import IGNORE, final_loss, nll

LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 3, 4)))
TARGET = torch.from_numpy(np.random.default_rng(1).integers(0, 3, (2, 3, 4)))


def slow(logits: np.ndarray, target: np.ndarray, times: int) -> float:
    values = []
    for b, y, x in np.ndindex(*target.shape):
        if target[b, y, x] != IGNORE:
            scores = logits[b, :, y, x]
            for _ in range(times):
                scores = np.exp(scores) / np.exp(scores).sum()
            values.append(-math.log(scores[target[b, y, x]]))
    return float(np.mean(values))


@pytest.mark.parametrize(("double", "times"), [(False, 1), (True, 2)])
def test_against_a_loop(double: bool, times: int) -> None:
    found = float(nll(LOGITS, TARGET, double_softmax=double))
    assert found == pytest.approx(slow(LOGITS.numpy(), TARGET.numpy(), times), rel=1e-5)


def test_the_published_loss_cannot_fall_below_0_313() -> None:
    sure = torch.tensor([-100.0, 100.0]).reshape(1, 2, 1, 1)
    one = torch.ones(1, 1, 1, dtype=torch.int64)
    capped = float(nll(sure, one, double_softmax=True))
    assert capped == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)
    assert round(capped, 3) == 0.313
    assert round(math.exp(-capped), 3) == 0.731
    assert float(nll(sure, one, double_softmax=False)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("double", [False, True])
def test_where_all_is_ignored_there_is_no_loss_and_no_nan(double: bool) -> None:
    logits = nn.Parameter(LOGITS.clone())
    loss = nll(logits, torch.full_like(TARGET, IGNORE), double_softmax=double)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) == 0


def test_the_final_loss_learns_background_from_the_mask_and_nuclei_from_points() -> None:
    mask = torch.tensor([[[0, 1], [1, 0]]])
    voronoi = torch.tensor([[[IGNORE, 1], [IGNORE, 0]]])
    logits = LOGITS[:1, :, :2, :2]
    loss = -torch.log_softmax(logits.float(), dim=1)
    wanted = (loss[0, 0, 0, 0] + loss[0, 0, 1, 1]) / 2 + 1.5 * (loss[0, 1, 0, 1] + loss[0, 0, 1, 1]) / 2
    found = final_loss(logits, mask, voronoi, voronoi_weight=1.5, double_softmax=False)
    torch.testing.assert_close(found, wanted)
