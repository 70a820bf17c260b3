"""One decision a crop: the mask follows it, and the policy finds the decision that pays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from morula.recipes.dbmim.strategy import RATIOS, SHARES, Plan, Strategy, decide, strategy_loss

ROWS, PATCHES, FEATURES = 8, 64, 5


def crops(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, edge scores, chance and lots."""
    numbers = torch.Generator().manual_seed(seed)
    return (
        torch.randn(ROWS, PATCHES, FEATURES, generator=numbers),
        torch.rand(ROWS, PATCHES, generator=numbers),
        torch.rand(ROWS, PATCHES, generator=numbers),
        torch.rand(ROWS, 2, generator=numbers),
    )


def certain(ratio: int, share: int) -> Strategy:
    """A policy that always decides the same."""
    strategy = Strategy(FEATURES, width=8)
    with torch.no_grad():
        for head, pick in ((strategy.ratio, ratio), (strategy.share, share)):
            head.weight.zero_()
            head.bias.fill_(-50.0)
            head.bias[pick] = 50.0
    return strategy


@pytest.mark.parametrize("ratio", range(len(RATIOS)))
@pytest.mark.parametrize("share", range(len(SHARES)))
def test_the_mask_is_what_was_decided(ratio: int, share: int) -> None:
    features, edges, chance, lots = crops(0)
    plan = decide(certain(ratio, share), features, edges, chance, lots)
    count = round(RATIOS[ratio] * PATCHES)
    assert plan.mask.sum(dim=1).tolist() == [count] * ROWS
    assert plan.ratio.tolist() == [RATIOS[ratio]] * ROWS
    strongest = edges.argsort(dim=1, descending=True)[:, : round(SHARES[share] * count)]
    assert plan.mask.gather(1, strongest).all()
    rest = plan.mask.scatter(1, strongest, False)
    assert 0 < rest.sum() < ROWS * PATCHES
    others = chance.scatter(1, strongest, -1.0)
    for row in range(ROWS):
        assert others[row][rest[row]].min() > others[row][~plan.mask[row]].max()


def test_decisions_are_drawn_as_their_probabilities_say() -> None:
    torch.manual_seed(0)
    strategy = Strategy(FEATURES, width=8)
    features, edges, chance, _ = (each[:1].expand(4000, *each.shape[1:]) for each in crops(1))
    lots = torch.rand(4000, 2, generator=torch.Generator().manual_seed(2))
    plan = decide(strategy, features, edges, chance, lots)
    drawn = torch.stack([(plan.ratio == each).float().mean() for each in RATIOS])
    away = (features - features.mean(dim=1, keepdim=True)) / features.std(dim=1, keepdim=True, unbiased=False)
    meant = strategy(away[:1], edges[:1])[0].softmax(dim=1)[0]
    assert (drawn - meant).abs().max() < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_the_decision_that_pays_is_found(seed: int) -> None:
    """Patches are as hard as their edges are strong: the largest share pays, and the ratio asked or less."""
    torch.manual_seed(seed)
    strategy = Strategy(FEATURES, width=16)
    optimiser = torch.optim.Adam(strategy.parameters(), lr=1e-2)
    for step in range(250):
        features, edges, chance, lots = crops(1000 * seed + step)
        plan = decide(strategy, features, edges, chance, lots)
        loss = strategy_loss(plan, edges + 0.1 * chance, target=0.625, entropy=0.01)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    features, edges, *_ = crops(5000 + seed)
    ratio, share, _ = (each.detach() for each in strategy(features, edges))
    assert share.softmax(dim=1)[:, 2].mean() > 0.8
    assert ratio.argmax(dim=1).tolist().count(1) + ratio.argmax(dim=1).tolist().count(0) >= ROWS - 1


def test_equal_errors_pay_nothing_but_the_ratio() -> None:
    mask = torch.ones(2, 4, dtype=torch.bool)
    nothing = torch.zeros(2)
    plan = Plan(mask, torch.tensor([0.5, 0.75]), torch.tensor([-1.0, -2.0]), nothing, nothing)
    loss = strategy_loss(plan, torch.ones(2, 4), target=0.75, entropy=0.0)
    assert loss == pytest.approx(-0.5 * 1.0 * 0.5 + 0.5 * 0.5 * 0.25, abs=1e-6)
