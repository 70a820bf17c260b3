"""The parts of a split network, played by one process; `tests/e2e/test_processes.py` has two."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from morula.core.rng import Rng
from morula.engine import seeded, together
from morula.engine.together import Split, share

SIZE = 2


class Head(nn.Module):
    """A map, a scalar, and a part that no loss uses."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.unused = nn.Linear(3, 2), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"map": self.map(x), "scalar": self.map(x).square().mean(), "unused": self.unused(x)}


def loss(found: dict[str, Tensor]) -> Tensor:
    """Couples all samples of the batch."""
    return (found["map"] @ found["map"].T).softmax(1)[:, 0].sum() + 3 * found["scalar"]


def test_the_mean_of_the_gradients_of_all_processes_is_that_of_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with seeded(Rng(0)):
        network, x = Head(), torch.randn(6, 3)
    expected = torch.autograd.grad(loss(network(x)), [*network.map.parameters()])
    parts = [network(share(x, rank, SIZE)) for rank in range(SIZE)]
    others = {value.numel(): name for name, value in parts[0].items()}
    monkeypatch.setattr(
        together, "_whole", lambda part, _: torch.cat([each[others[part.numel()]] for each in parts]).detach()
    )
    monkeypatch.setattr(together, "_mean", lambda *_: torch.stack([each["scalar"] for each in parts]).mean())
    found: list[list[Tensor]] = []
    for rank in range(SIZE):
        network.zero_grad()
        loss(Split(network, rank, SIZE)(x)).backward()
        assert all(float(p.grad.abs().max()) == 0 for p in network.unused.parameters() if p.grad is not None)
        assert all(p.grad is not None for p in network.unused.parameters())
        found.append(
            [parameter.grad.clone() for parameter in network.map.parameters() if parameter.grad is not None]
        )
    for whole, *own in zip(expected, *found, strict=True):
        assert torch.allclose(torch.stack(own).mean(0), whole, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_masks_are_those_of_the_whole_batch(
    layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "_whole", lambda part, _: part)
    with seeded(Rng(0)):
        x = torch.randn(4, 6, 5, 5).contiguous(memory_format=layout)
    for network in (nn.Dropout(0.4), nn.Dropout2d(0.4)):
        with seeded(Rng(1)):
            whole = network(x)
        own: list[Tensor] = []
        for rank in range(SIZE):
            with seeded(Rng(1)):
                own.append(_forward(network, x, rank))
        assert torch.equal(torch.cat(own), whole)
        network.eval()
        assert torch.equal(_forward(network, x, 1), x[2:])


def _forward(network: nn.Module, x: Tensor, rank: int) -> Tensor:
    with together._OneBatch(rank, SIZE):
        return network(share(x, rank, SIZE))


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (6, 3, 4, 4), (6, 3, 2, 4, 4)])
def test_batch_statistics_are_those_of_torch(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with the same samples have the statistics of one of them, but for the count."""
    monkeypatch.setattr(together, "_total", lambda x: SIZE * x)
    norms = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    with seeded(Rng(0)):
        x = torch.randn(shape)
    ours, theirs = norms[len(shape)](3), norms[len(shape)](3)
    twice = torch.cat([x, x])
    expected = theirs(twice)
    assert torch.allclose(_forward(ours, twice, 0), expected[:6], atol=1e-5)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-6)
    ours.eval()
    theirs.eval()
    assert torch.allclose(_forward(ours, twice, 0), theirs(x), atol=1e-5)


@pytest.mark.parametrize("own", [2, 6])
def test_batch_statistics_are_those_of_all_samples_where_processes_have_unlike_numbers(
    own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of the regions of a detector, of which another process may have none."""
    with seeded(Rng(0)):
        x = 3 + torch.randn(6, 3, 4, 4)
    ours, theirs = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    expected = theirs(x)
    others = x[own:]
    squares = (others - x.mean((0, 2, 3))[:, None, None]).square().sum((0, 2, 3))
    told = iter([torch.cat([others.sum((0, 2, 3)), torch.tensor([16.0 * len(others)])]), squares])
    monkeypatch.setattr(together, "_total", lambda part: part + next(told))
    with together._OneBatch(0, SIZE):
        found = ours(x[:own])
    assert torch.allclose(found, expected[:own], atol=1e-5)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-6)


def test_nothing_moves_no_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_total", lambda part: part)
    norm = nn.BatchNorm2d(3)
    with together._OneBatch(0, SIZE):
        assert norm(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
    assert norm.running_mean.tolist() == [0] * 3 and norm.running_var.tolist() == [1] * 3


def test_a_batch_that_cannot_be_split_evenly_is_an_error() -> None:
    with pytest.raises(ValueError, match="5 samples cannot be split between 2 processes"):
        Split(Head(), 0, SIZE)(torch.zeros(5, 3))
