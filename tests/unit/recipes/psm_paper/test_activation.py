from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from morula.core.errors import UsageError
from morula.recipes.psm.paper.activation import (
    ActivationNetwork,
    contrastive,
    mean_value,
    proxy_loss,
    random_rotate,
    rot180,
    similarity,
    simsiam,
)
from morula.recipes.psm.paper.config import PROXIES, Proxy

IMAGES = torch.from_numpy(np.random.default_rng(0).random((4, 3, 8, 8))).float() * 255
WEIGHT = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 192))).float() / 100


def one(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1) @ WEIGHT[:1].T


def five(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1) @ WEIGHT.T


def turned(image: torch.Tensor, quarters: int) -> torch.Tensor:
    return torch.from_numpy(np.rot90(image.numpy(), quarters, (1, 2)).copy())


def value(image: torch.Tensor) -> float:
    return float(one(image[None]))


def test_half_a_turn_is_two_quarter_turns() -> None:
    torch.testing.assert_close(rot180(IMAGES)[2], turned(IMAGES[2], 2))


def test_similarity_against_a_loop() -> None:
    wanted = np.mean([abs(value(x) - value(turned(x, 2))) for x in IMAGES])
    assert float(similarity(one, IMAGES)) == pytest.approx(wanted, rel=1e-4)


def test_a_constant_network_solves_similarity() -> None:
    assert float(similarity(lambda x: torch.ones(len(x), 1), IMAGES)) == 0


@pytest.mark.parametrize("margin", [0.0, 10.0, 1000.0])
def test_contrastive_against_a_loop(margin: float) -> None:
    near = np.mean([(value(turned(x, 2)) - value(x)) ** 2 for x in IMAGES[:3]])
    far = np.mean([(value(IMAGES[3]) - value(x)) ** 2 for x in IMAGES[:3]])
    found = float(contrastive(one, IMAGES, margin))
    assert found == pytest.approx(max(near - far + margin, 0), rel=1e-3, abs=1e-4)


def test_random_rotate_against_a_loop() -> None:
    turns = torch.tensor([0, 1, 2, 3])
    wanted = np.mean([(float(y) - n) ** 2 for n, x in enumerate(IMAGES) for y in five(turned(x, n)[None])[0]])
    assert float(random_rotate(five, IMAGES, turns)) == pytest.approx(wanted, rel=1e-4)


def test_simsiam_against_a_loop_and_its_stopped_gradients() -> None:
    first, second = nn.Linear(5, 1), nn.Linear(5, 1)
    gaps = [first(five(x[None])) - second(five(turned(x, 2)[None])) for x in IMAGES]
    loss = simsiam(five, first, second, IMAGES)
    torch.testing.assert_close(loss, torch.stack(gaps).abs().mean(), atol=1e-4, rtol=1e-4)
    loss.backward()
    assert first.bias.grad is not None
    assert second.bias.grad is not None
    signs = torch.stack(gaps).sign().mean() / 2  # each side learns from its own half of the loss
    torch.testing.assert_close(first.bias.grad[0], signs)
    torch.testing.assert_close(second.bias.grad[0], -signs)


def test_mean_value_against_a_loop() -> None:
    wanted = np.mean([abs(value(x) - float(x.mean())) for x in IMAGES])
    assert float(mean_value(one, IMAGES)) == pytest.approx(wanted, rel=1e-4)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.predictors = nn.ModuleList([nn.Linear(5, 1), nn.Linear(5, 1)])
        self.weight = nn.Parameter(WEIGHT.clone())
        self.outputs = 5

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight[: self.outputs].T


@pytest.mark.parametrize("proxy", PROXIES)
def test_every_task_is_reached_by_its_name_and_has_a_gradient(proxy: Proxy) -> None:
    network = Tiny()
    network.outputs = 5 if proxy in {"simsiam", "random_rotate"} else 1
    loss = proxy_loss(network, IMAGES, proxy=proxy, turns=torch.tensor([0, 1, 2, 3]), margin=1e6)  # pyright: ignore
    loss.backward()
    assert network.weight.grad is not None
    assert float(network.weight.grad.abs().sum()) > 0


def test_the_published_network_has_three_shallow_blocks_of_256_channels() -> None:
    with torch.device("meta"):
        network = ActivationNetwork("res2net101_26w_4s")
    assert len(network.layer1) == 3
    assert network.layer1[-1].bn3.num_features == 256  # pyright: ignore
    assert network.backbone.num_classes == 1


def test_tasks_on_vectors_get_a_thousand_outputs() -> None:
    with torch.device("meta"):
        network = ActivationNetwork("resnet18", "simsiam")
    assert network.backbone.num_classes == 1000
    assert len(network.predictors) == 2


@pytest.mark.parametrize("name", ["res2net_of_ours", "vit_tiny_patch16_224"])
def test_networks_without_a_first_layer_are_refused(name: str) -> None:
    with torch.device("meta"), pytest.raises(UsageError, match="res2net50_26w_4s"):
        ActivationNetwork(name)
