"""2D networks in three dimensions: what they gave for an image they give for the slices of a stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ConvNeXt, mobilenet_v3_small, resnet18, shufflenet_v2_x0_5, squeezenet1_1
from torchvision.models.convnext import CNBlockConfig

from morula.nets import InflatedUNet3d, Inflation, fitting, inflate_kernel, inflated, resize_positions


def _resnet() -> nn.Module:
    found: Any = resnet18(weights=None)
    return nn.Sequential(found.conv1, found.bn1, found.relu, found.maxpool, found.layer1, found.layer2)


def _squeezenet() -> nn.Module:
    return squeezenet1_1(weights=None).features


def _convnext() -> nn.Module:
    return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)]).features


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, pretrained=False, features_only=True, **options)


class _Gated(nn.Module):
    """In three dimensions these means would be over z and y, without any error."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) * image.mean((2, 3), keepdim=True)


_FAMILIES = (
    "test_resnet", "test_efficientnet", "test_byobnet", "mobilenetv3_small_100", "dla46_c",
    "tf_mobilenetv3_small_minimal_100",
    "test_convnext", "test_convnext2", "test_convnext3",
)  # fmt: skip
_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": _resnet,
    "squeezenet": _squeezenet,
    "convnext": _convnext,
    "convnext-by-1x1": _timm("test_convnext", conv_mlp=True),
    "gated": _Gated,
    "same-and-valid": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 4, padding="same", dilation=(1, 2)), nn.ReLU(), nn.Conv2d(8, 8, 3, padding="valid")
    ),
    "whole-resnet": lambda: resnet18(weights=None),
    "whole-mobilenet": lambda: mobilenet_v3_small(weights=None),
    "whole-shufflenet": lambda: shufflenet_v2_x0_5(weights=None),
    "whole-squeezenet": lambda: squeezenet1_1(weights=None),
    "whole-vit": lambda: timm.create_model("test_vit", pretrained=False),
    **{name: _timm(name) for name in _FAMILIES},
}


@pytest.fixture(params=_NETWORKS.values(), ids=list(_NETWORKS))
def flat(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = request.param()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
        elif isinstance(module, nn.Conv2d):  # some begin with kernels that leave nothing of the image
            nn.init.kaiming_normal_(module.weight)
    for name, scale in made.named_parameters():
        if name.endswith(("gamma", "layer_scale")):  # a millionth would hide all that a block does
            nn.init.uniform_(scale, 0.5, 2.0)
    return made.eval()


def _last(features: Any) -> Tensor:
    return features if isinstance(features, Tensor) else features[-1]


@torch.no_grad()
def test_center_gives_the_features_of_each_slice_whatever_its_neighbours(flat: nn.Module) -> None:
    deep = inflated(flat, "center", channels=1)
    stack = torch.randn(2, 1, 4, 64, 64)
    found = _last(deep(stack))
    for z in range(4):
        wanted = _last(flat(stack[:, :, z].expand(-1, 3, -1, -1)))
        assert (found[:, :, z] - wanted).abs().max() < 1e-5 * wanted.abs().max()


@torch.no_grad()
def test_average_gives_the_features_of_equal_slices_and_not_of_others(flat: nn.Module) -> None:
    deep = inflated(flat, "average", channels=1)
    image = torch.randn(2, 1, 64, 64)
    wanted = _last(flat(image.expand(-1, 3, -1, -1)))
    equal = _last(deep(image[:, :, None].expand(-1, -1, 4, -1, -1)))
    assert (equal - wanted[:, :, None]).abs().max() < 1e-5 * wanted.abs().max()
    mixed = torch.cat([image[:, :, None], torch.randn(2, 1, 3, 64, 64)], dim=2)
    away = (_last(deep(mixed))[:, :, 0] - wanted).abs().max()
    assert away > 0.01 * wanted.abs().max() > 0


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


@pytest.mark.parametrize("name", ["convnext", "test_convnext2", "whole-shufflenet"])
def test_weights_for_images_fit_all_of_an_inflated_network(name: str) -> None:
    flat, fit = _NETWORKS[name](), fitting("average")
    deep = inflated(flat, "average", channels=1).state_dict()
    for key, tensor in flat.state_dict().items():
        given = tensor if tensor.shape == deep[key].shape else fit(tensor, deep[key].shape)
        assert given is not None and torch.allclose(given, deep[key], atol=1e-6), key


class _Bright(nn.Conv2d):
    """Were it taken for a plain convolution, its image would be as dark as before."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input + 1)


class _Direct(nn.Module):
    """Uses a kernel past its module, which is no longer one for images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, image: Tensor) -> Tensor:
        return F.conv2d(image, self.conv.weight)


class _Beside(nn.Module):
    """Over the slices of a stack this mean would be right for the batch and wrong for each."""

    def forward(self, image: Tensor) -> Tensor:
        return image - image.mean(0)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), r"1 \(Conv2d\) is padded by .* circular"),
        (_Bright(3, 3, 3), r"1 \(_Bright\) has no counterpart"),
        (_Direct(), r"1 \(_Direct\) fails .* leave it out .*features_only"),
        (_Beside(), r"1 \(_Beside\) gives for an image what depends on those beside it"),
        (nn.Linear(5, 5), r"1 \(Linear\) fails when the network is given 3 x 3 x 224 x 224: .*\.features"),
    ],
)
def test_what_cannot_be_inflated_is_refused_by_its_name(module: nn.Module, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        inflated(nn.Sequential(nn.Conv2d(3, 3, 3), module), "center")


@torch.no_grad()
def test_a_network_for_images_of_one_size_is_tried_with_that() -> None:
    torch.manual_seed(0)
    flat = timm.create_model("test_vit3", pretrained=False, img_size=(96, 128)).eval()
    image = torch.randn(1, 1, 96, 128)
    found = inflated(flat, "center", channels=1)(image[:, :, None].expand(-1, -1, 2, -1, -1))
    wanted = flat(image.expand(-1, 3, -1, -1))
    assert (found[:, :, 1] - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_the_size_that_a_network_fails_at_is_its_own() -> None:
    flat = timm.create_model("test_vit3", pretrained=False)
    flat.head = nn.Linear(5, 5)
    with pytest.raises(
        ValueError, match=r"head \(Linear\) fails when the network is given 3 x 3 x 160 x 160"
    ):
        inflated(flat, "center")


def test_standardised_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stem_conv1 \(ScaledStdConv2d\)"):
        inflated(_timm("test_nfnet")(), "center")


def test_a_trial_leaves_no_trace() -> None:
    flat = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    torch.manual_seed(0)
    deep: Any = inflated(flat, "center", depth=1)
    after = torch.rand(1)
    torch.manual_seed(0)
    nn.Conv3d(3, 3, (1, 3, 3))
    assert torch.equal(torch.rand(1), after)
    assert all(module.training for network in (flat, deep) for module in network.modules())
    assert deep[1].num_batches_tracked == 0


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
    bare = fit(torch.ones(1, 4, 8), torch.Size((1, 17, 8)))
    assert bare is not None and bare.shape == (1, 17, 8)
    assert not bare[:, 0].any() and torch.allclose(bare[:, 1:], torch.ones(16, 8))
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
