"""The mask that is learned: every patch is an agent, all share one actor and one critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Choice", "Credit", "Policy", "choose", "policy_loss", "rewards", "shift_to_ratio", "standardised"]

Credit = Literal["patch", "sample"]
"""Who is paid: each hidden patch for its own error, or all patches of a crop for their mean error."""

_LARGEST = 3.0  # logits stay within it, so that no patch is ever certain
_HALVINGS = 24  # of an interval of 40
_EPS = 1e-6
_LEAST_SPREAD = 1e-4  # of a feature; what differs less is the same


class Policy(nn.Module):
    """Features of patches to a logit "hide me" and a value each; the mean over patches is their context.

    Args:
        features: of a patch.
        width: of the hidden layers.
    """

    def __init__(self, features: int, width: int = 256) -> None:
        super().__init__()
        self.state = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.context = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.actor, self.critic = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and values `(b, n)` of features `(b, n, d)`."""
        h = self.state(features)
        h = h + self.context(h.mean(dim=1, keepdim=True))
        return self.actor(h).squeeze(-1).float(), self.critic(h).squeeze(-1).float()


@dataclass(frozen=True)
class Choice:
    """What the agents did.

    Attributes:
        mask: `(b, n)` bool, True is hidden.
        logits: `(b, n)` after the ratio was set.
        values: `(b, n)` of the critic.
    """

    mask: Tensor
    logits: Tensor
    values: Tensor


def choose(policy: Policy, features: Tensor, chance: Tensor, ratio: float) -> Choice:
    """Every agent hides its patch with its own probability; over a crop these have the mean `ratio`.

    Args:
        policy: actor and critic.
        features: `(b, n, d)`; nothing is learned through them.
        chance: `(b, n)` uniform in [0, 1), all the randomness there is.
        ratio: in (0, 1).
    """
    z, values = policy(standardised(features.detach()))
    z = z - z.mean(dim=1, keepdim=True)
    logits = shift_to_ratio(_LARGEST * torch.tanh(z / _LARGEST), ratio)
    return Choice(chance < logits.detach().sigmoid(), logits, values)


def standardised(features: Tensor) -> Tensor:
    """Features `(b, n, d)` in standard deviations over the patches of their crop.

    Only what differs between patches can matter. Grey values differ by hundredths, and a policy that sees
    them as they are learns many times slower.
    """
    away = features - features.mean(dim=1, keepdim=True)
    return away / (features.std(dim=1, keepdim=True, unbiased=False) + _LEAST_SPREAD)


def shift_to_ratio(logits: Tensor, ratio: float) -> Tensor:
    """Logits `(b, n)` plus the number, one a row, that makes the mean probability `ratio`.

    So the ratio is kept by construction and not by a penalty, which would be all that a policy learns.
    """
    low = torch.full((len(logits), 1), -20.0, device=logits.device)
    high = -low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = (logits.detach() + middle).sigmoid().mean(dim=1, keepdim=True) > ratio
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return logits + (low + high) / 2


def policy_loss(choice: Choice, error: Tensor, *, entropy: float, credit: Credit = "patch") -> Tensor:
    """A one-step actor-critic loss: L = -mean log pi(a) (R - V) + 1/2 mean (V - R)^2 - beta H(pi).

    Both means are over all agents, those that kept their patch too. V knows nothing of the action, so it
    takes away variance and no signal. Were only the hidden patches counted, it would take away the signal: a
    critic that foresees how hard each patch is leaves R - V = 0. Means and not sums, so that the number of
    patches does not scale the loss.

    Args:
        choice: what was done.
        error: `(b, n)` of each patch; nothing is learned through it, and that of kept patches is not used.
        entropy: beta.
        credit: see `rewards`.
    """
    reward = rewards(choice, error.detach(), credit)
    values = choice.values if credit == "patch" else choice.values.mean(dim=1, keepdim=True)
    chosen = torch.distributions.Bernoulli(logits=choice.logits)
    told = chosen.log_prob(choice.mask.float())
    actor = -(told * (reward - values).detach()).mean()
    critic = ((values - reward) ** 2).mean()
    return actor + 0.5 * critic - entropy * chosen.entropy().mean()


def rewards(choice: Choice, error: Tensor, credit: Credit) -> Tensor:
    """What each agent is paid.

    By patch: R_i = a_i (e_i - mu) / sigma, so nothing for a patch that was kept. What is to be raised is
    J = sum_i pi_i e_i while b keeps sum_i pi_i; through b its gradient is

        dJ/dz_i = w_i (e_i - mu),    w_i = pi_i (1 - pi_i),    mu = sum_j w_j e_j / sum_j w_j

    and E[ R_i dlog pi(a_i)/dz_i ] is the same but for sigma. Only hidden patches have an error; each stands
    for 1 / pi_j patches like it, so mu is their mean with weights 1 - pi_j. What hiding one patch does to
    the error of another is left out.

    By sample, the published rule and the ablation: the mean error of a crop's hidden patches, for all its
    agents, in standard deviations over the batch.

    Returns:
        `(b, n)` by patch, `(b, 1)` by sample.
    """
    hidden = choice.mask.float()
    if credit == "sample":
        mean = (error * hidden).sum(dim=1, keepdim=True) / hidden.sum(dim=1, keepdim=True).clamp(min=1)
        return (mean - mean.mean()) / (mean.std(unbiased=False) + _EPS)
    weight = hidden * (1 - choice.logits.detach().sigmoid())
    mu = (weight * error).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=_EPS)
    count = hidden.sum(dim=1, keepdim=True).clamp(min=1)
    sigma = ((hidden * (error - mu) ** 2).sum(dim=1, keepdim=True) / count).sqrt()
    return hidden * (error - mu) / (sigma + _EPS)
