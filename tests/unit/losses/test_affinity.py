import math

import pytest
import torch

from morula.losses import balance, weighted_bce, weighted_mse


def target(positive: int, size: int = 100) -> torch.Tensor:
    values = torch.zeros(1, 1, 1, 1, size)
    values[..., :positive] = 1
    return values


@pytest.mark.parametrize(
    ("positive", "on", "off"),
    [(80, 1.0, 4.0), (20, 4.0, 1.0), (50, 1.0, 1.0), (100, 1.0, 99.0), (0, 19.0, 1.0)],
)
def test_both_kinds_count_alike_within_limits(positive: int, on: float, off: float) -> None:
    labels = target(positive)
    weight = balance(labels)
    assert weight[labels > 0].tolist() == pytest.approx([on] * positive)
    assert weight[labels == 0].tolist() == pytest.approx([off] * (100 - positive), rel=1e-5)


def test_what_is_unknown_weighs_nothing_and_does_not_balance() -> None:
    labels = target(80)
    known = torch.ones_like(labels)
    known[..., :60] = 0
    weight = balance(labels, known)
    assert weight[..., :60].sum() == 0
    assert weight[..., 60:].unique().tolist() == [1.0]


def test_losses_are_the_published_sums() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 3, 2, 3, 4), generator=generator)
    labels = (torch.rand((2, 3, 2, 3, 4), generator=generator) > 0.5).float()
    weight = torch.rand((2, 3, 2, 3, 4), generator=generator)
    squares = entropies = 0.0
    for z, t, w in zip(
        logits.ravel().tolist(), labels.ravel().tolist(), weight.ravel().tolist(), strict=True
    ):
        p = 1 / (1 + math.exp(-z))
        squares += w * (p - t) ** 2
        entropies -= w * (t * math.log(p) + (1 - t) * math.log(1 - p))
    voxels = 2 * 2 * 3 * 4
    assert float(weighted_mse(logits.sigmoid(), labels, weight)) == pytest.approx(squares / voxels, rel=1e-5)
    assert float(weighted_bce(logits, labels, weight)) == pytest.approx(entropies / voxels, rel=1e-5)


def test_cross_entropy_stays_finite_where_the_sigmoid_saturates() -> None:
    loss = weighted_bce(
        torch.full((1, 1, 1, 1, 1), 200.0), torch.zeros(1, 1, 1, 1, 1), torch.ones(1, 1, 1, 1, 1)
    )
    assert float(loss) == 200.0
