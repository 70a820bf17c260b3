from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from morula.recipes.psm.paper.cam import activation_map, capture, unit


class Tiny(nn.Module):
    """Two strided blocks and a non-linear head."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        first = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.blocks = nn.Sequential(first, nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.Softplus()))
        self.head = nn.Linear(5, outputs)

    def tail(self, deep: torch.Tensor) -> torch.Tensor:
        return self.head((deep**2).mean(dim=(2, 3)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.tail(self.blocks(image))


@pytest.fixture
def network() -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny().double().eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((3, 12, 12)))


def numerical_gradient(rest, activation: torch.Tensor) -> torch.Tensor:
    gradient = torch.zeros_like(activation)
    for index in np.ndindex(*activation.shape):
        step = torch.zeros_like(activation)
        step[index] = 1e-5
        gradient[index] = (rest(activation + step) - rest(activation - step)).item() / 2e-5
    return gradient


@torch.no_grad()
def test_the_map_against_finite_differences(network: Tiny, image: torch.Tensor) -> None:
    first, second = network.blocks
    a1 = first(image[None])
    a2 = second(a1)
    gradients = [
        numerical_gradient(lambda a: network.tail(second(a)), a1),
        numerical_gradient(network.tail, a2),
    ]
    maps = []
    for activation, gradient in zip([a1, a2], gradients, strict=True):
        cam = sum(gradient[0, c].mean() * activation[0, c] for c in range(activation.shape[1]))
        assert isinstance(cam, torch.Tensor)
        cam = (cam - cam.min()) / (1e-7 + (cam - cam.min()).max())
        resized = nn.functional.interpolate(cam[None, None].float(), (12, 12), mode="bilinear")
        maps.append(resized[0, 0].clamp(min=0))
    wanted = torch.stack(maps).mean(dim=0)
    wanted = (wanted - wanted.min()) / (wanted - wanted.min()).max()
    found = activation_map(network, network.blocks, image)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_the_map_is_between_zero_and_one_and_as_large_as_the_image(
    network: Tiny, image: torch.Tensor
) -> None:
    found = activation_map(network, network.blocks, image)
    assert found.shape == (12, 12)
    assert float(found.min()) == 0
    assert float(found.max()) == pytest.approx(1, abs=1e-5)


def test_minus_f_gives_another_map(network: Tiny, image: torch.Tensor) -> None:
    before = activation_map(network, network.blocks, image)
    with torch.no_grad():
        network.head.weight.neg_()
    after = activation_map(network, network.blocks, image)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < -0.9


def test_it_works_without_gradients_and_leaves_nothing_behind(network: Tiny, image: torch.Tensor) -> None:
    wanted = activation_map(network, network.blocks, image)
    network.train().requires_grad_(False)
    network.head.eval()
    with torch.no_grad():
        found = activation_map(network, network.blocks, image)
    torch.testing.assert_close(found, wanted)
    assert network.training
    assert not network.head.training
    assert all(not block._forward_hooks for block in network.blocks)
    assert all(p.grad is None for p in network.parameters())


def test_hooks_go_even_after_an_error(network: Tiny) -> None:
    with pytest.raises(RuntimeError), capture(network.blocks):
        raise RuntimeError
    assert all(not block._forward_hooks for block in network.blocks)


def test_a_network_that_ignores_its_blocks_gives_zeros(network: Tiny, image: torch.Tensor) -> None:
    with torch.no_grad():
        network.head.weight.zero_()
    assert float(activation_map(network, network.blocks, image).abs().max()) == 0


def test_of_several_outputs_the_sum_counts(image: torch.Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        several = Tiny(3).double().eval()
    one = Tiny(1).double().eval()
    one.blocks.load_state_dict(several.blocks.state_dict())
    with torch.no_grad():
        one.head.weight.copy_(several.head.weight.sum(dim=0, keepdim=True))
    torch.testing.assert_close(
        activation_map(several, several.blocks, image), activation_map(one, one.blocks, image)
    )


def test_unit_of_a_constant_is_zero() -> None:
    assert unit(torch.full((2, 2), -3.0)).tolist() == [[0.0, 0.0], [0.0, 0.0]]
