"""2D networks in three dimensions: what they gave for an image they give for the slices of a stack."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, squeezenet1_1

from morula.nets import InflatedUNet3d, Inflation, fitting, inflate_kernel, inflated, resize_positions


def _resnet() -> nn.Module:
    found: Any = resnet18(weights=None)
    trunk = nn.Sequential(found.conv1, found.bn1, found.relu, found.maxpool, found.layer1, found.layer2)
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
    return trunk.eval()


def _squeezenet() -> nn.Module:
    return squeezenet1_1(weights=None).features.eval()


def _timm_convnet() -> nn.Module:
    return timm.create_model("test_resnet", pretrained=False, features_only=True).eval()


@pytest.fixture(params=[_resnet, _squeezenet, _timm_convnet])
def flat(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param()


def _last(features: Any) -> Tensor:
    return features if isinstance(features, Tensor) else features[-1]


@torch.no_grad()
def test_center_gives_the_features_of_each_slice_whatever_its_neighbours(flat: nn.Module) -> None:
    deep = inflated(flat, "center", channels=1)
    stack = torch.randn(1, 1, 4, 48, 64)
    found = _last(deep(stack))
    for z in range(4):
        wanted = _last(flat(stack[:, :, z].expand(-1, 3, -1, -1)))
        assert torch.allclose(found[:, :, z], wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_average_gives_the_features_of_equal_slices_and_not_of_others(flat: nn.Module) -> None:
    deep = inflated(flat, "average", channels=1)
    image = torch.randn(1, 1, 48, 64)
    wanted = _last(flat(image.expand(-1, 3, -1, -1)))
    equal = _last(deep(image[:, :, None].expand(-1, -1, 4, -1, -1)))
    assert torch.allclose(equal, wanted[:, :, None].expand_as(equal), atol=1e-5, rtol=1e-4)
    mixed = torch.cat([image[:, :, None], torch.randn(1, 1, 3, 48, 64)], dim=2)
    away = (_last(deep(mixed))[:, :, 0] - wanted).abs().max()
    assert away > 0.1 * wanted.abs().max() > 0


def test_the_original_stays_as_it_is(flat: nn.Module) -> None:
    before = {name: value.clone() for name, value in flat.state_dict().items()}
    deep = inflated(flat, "center", channels=1)
    with torch.no_grad():
        for parameter in deep.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in flat.state_dict().items())
    assert not any("3d" in type(module).__name__ for module in flat.modules())


def test_names_and_strides_are_kept() -> None:
    flat = _squeezenet()
    deep = inflated(flat, "center", channels=1)
    assert deep.state_dict().keys() == flat.state_dict().keys()
    assert deep(torch.zeros(1, 1, 5, 64, 64)).shape[2] == 5


@pytest.mark.parametrize("module", [nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 3, padding="same")])
def test_what_cannot_be_inflated_is_refused(module: nn.Module) -> None:
    with pytest.raises(ValueError):
        inflated(nn.Sequential(module), "center")


def test_an_even_depth_has_no_middle() -> None:
    with pytest.raises(ValueError, match="odd"):
        inflated(nn.Sequential(nn.Conv2d(1, 1, 3)), "center", depth=2)


@pytest.mark.parametrize("how", ["center", "average"])
def test_a_kernel_keeps_its_sum(how: Inflation) -> None:
    kernel = torch.randn(4, 3, 5, 5)
    deep = inflate_kernel(kernel, 5, how, 2)
    assert deep.shape == (4, 2, 5, 5, 5)
    assert torch.allclose(deep.sum(dim=(1, 2)), kernel.sum(dim=1), atol=1e-5)


def test_positions_are_kept_on_their_own_grid_and_smooth_on_another() -> None:
    ramp = torch.arange(6.0).repeat(6)
    positions = torch.cat([torch.tensor([99.0]), ramp])[None, :, None]
    assert resize_positions(positions, (6, 6)) is positions
    wider = resize_positions(positions, (3, 12))
    assert wider.shape == (1, 37, 1)
    assert wider[0, 0, 0] == 99
    row = wider[0, 1:13, 0]
    assert (row.diff() > 0).all()
    assert torch.allclose(wider[0, 13:25, 0], row, atol=1e-5)
    with pytest.raises(ValueError, match="square"):
        resize_positions(positions[:, :-1], (3, 3))


def test_fitting_inflates_kernels_and_positions_and_nothing_else() -> None:
    fit = fitting("average")
    kernel = fit(torch.ones(2, 3, 4, 4), torch.Size((2, 1, 5, 4, 4)))
    assert kernel is not None
    assert torch.allclose(kernel, torch.full((2, 1, 5, 4, 4), 0.6))
    positions = fit(torch.ones(1, 5, 8), torch.Size((1, 17, 8)))
    assert positions is not None and positions.shape == (1, 17, 8)
    assert fit(torch.ones(2, 3, 4, 4), torch.Size((2, 1, 5, 3, 3))) is None
    assert fit(torch.ones(7), torch.Size((8,))) is None


def test_the_network_for_stacks_keeps_their_size_and_learns_everywhere() -> None:
    torch.manual_seed(0)
    network = InflatedUNet3d(widths=(4, 6, 8, 10, 12))
    stack = torch.rand(2, 1, 3, 40, 56)
    logits = network(stack)
    assert logits.shape == stack.shape
    logits.square().mean().backward()
    silent = [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()]
    assert not silent


@torch.no_grad()
def test_without_depth_each_slice_is_seen_alone() -> None:
    torch.manual_seed(0)
    network = InflatedUNet3d(depth=1, widths=(4, 6, 8, 10, 12)).eval()
    stack = torch.rand(1, 1, 3, 32, 32)
    assert torch.allclose(network(stack)[:, :, 1], network(stack[:, :, 1:2])[:, :, 0], atol=1e-5)
