"""The second action: one decision a crop, how much is hidden and how much of that by its edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from morula.recipes.dbmim.policy import standardised

__all__ = ["RATIOS", "SHARES", "Plan", "Strategy", "decide", "strategy_loss"]

RATIOS = (0.5, 0.625, 0.75, 0.875)
"""Parts of the patches that may be hidden."""

SHARES = (0.25, 0.5, 0.75)
"""Parts of the hidden patches that may be those with the strongest edges; chance takes the others."""

_PENALTY = 2.0  # standard deviations of the error for a ratio that is off by 1
_EPS = 1e-6


class Strategy(nn.Module):
    """Features of the patches of a crop to logits of ratio and share, and a value.

    Args:
        features: of a patch.
        width: of the hidden layers.
    """

    def __init__(self, features: int, width: int = 256) -> None:
        super().__init__()
        self.state = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.ratio, self.share = nn.Linear(width + 4, len(RATIOS)), nn.Linear(width + 4, len(SHARES))
        self.critic = nn.Linear(width + 4, 1)

    def forward(self, features: Tensor, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `(b, 4)` and `(b, 3)` and values `(b,)` of features `(b, n, d)` and edge scores `(b, n)`."""
        spread = edges.std(dim=1, unbiased=False)
        told = torch.stack([edges.mean(dim=1), spread, edges.amax(dim=1), edges.amin(dim=1)], dim=1)
        c = torch.cat([self.state(features).mean(dim=1), told], dim=1)
        return self.ratio(c).float(), self.share(c).float(), self.critic(c).squeeze(-1).float()


@dataclass(frozen=True)
class Plan:
    """What was decided for each crop.

    Attributes:
        mask: `(b, n)` bool, True is hidden.
        ratio: `(b,)` part of the patches that is hidden.
        log_prob: `(b,)` of both decisions together.
        entropy: `(b,)` of both together.
        values: `(b,)` of the critic.
    """

    mask: Tensor
    ratio: Tensor
    log_prob: Tensor
    entropy: Tensor
    values: Tensor


def decide(strategy: Strategy, features: Tensor, edges: Tensor, chance: Tensor, lots: Tensor) -> Plan:
    """Draws a ratio and a share for every crop; the strongest edges are hidden first, then patches by chance.

    Args:
        strategy: heads and critic.
        features: `(b, n, d)`; nothing is learned through them.
        edges: `(b, n)` edge score of each patch.
        chance: `(b, n)` uniform in [0, 1), which patches follow the edges.
        lots: `(b, 2)` uniform in [0, 1), the two decisions.
    """
    ratio_logits, share_logits, values = strategy(standardised(features.detach()), edges)
    heads = [torch.distributions.Categorical(logits=each) for each in (ratio_logits, share_logits)]
    picks = [
        (lot[:, None] > head.probs.detach().cumsum(dim=1)).sum(dim=1).clamp(max=head.probs.shape[1] - 1)
        for head, lot in zip(heads, lots.T, strict=True)
    ]
    ratio, share = (
        torch.tensor(of, device=edges.device)[pick] for of, pick in zip((RATIOS, SHARES), picks, strict=True)
    )
    count = (ratio * edges.shape[1]).round().clamp(1, edges.shape[1] - 1)
    by_edges = _rank(edges) < (share * count).round()[:, None]
    mask = _rank(chance + by_edges) < count[:, None]
    log_prob = torch.stack([head.log_prob(pick) for head, pick in zip(heads, picks, strict=True)]).sum(dim=0)
    return Plan(mask, ratio, log_prob, heads[0].entropy() + heads[1].entropy(), values)


def strategy_loss(plan: Plan, error: Tensor, *, target: float, entropy: float) -> Tensor:
    """A one-step actor-critic loss of one decision a crop.

    Hidden patches pay more the harder they are, and hiding much is always hard: so a ratio costs that is not
    the one that is wanted. R = hidden patches' error, in standard deviations over the batch, - 2 |r - r*|.

    Args:
        plan: what was decided.
        error: `(b, n)` of each patch; nothing is learned through it, and that of kept patches is not used.
        target: r*, the ratio that is wanted.
        entropy: beta.
    """
    hidden = plan.mask.float()
    mean = (error.detach() * hidden).sum(dim=1) / hidden.sum(dim=1).clamp(min=1)
    reward = (mean - mean.mean()) / (mean.std(unbiased=False) + _EPS)
    reward = reward - _PENALTY * (plan.ratio - target).abs()
    actor = -(plan.log_prob * (reward - plan.values).detach()).mean()
    return actor + 0.5 * ((plan.values - reward) ** 2).mean() - entropy * plan.entropy.mean()


def _rank(values: Tensor) -> Tensor:
    """0 for the largest of each row, 1 for the next, and so on."""
    return values.argsort(dim=1, descending=True).argsort(dim=1)
