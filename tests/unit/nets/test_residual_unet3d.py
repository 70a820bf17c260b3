import pytest
import torch

from morula.engine import Weights, WeightsInfo
from morula.nets import ResidualUNet3d

SMALL = {"widths": (4, 6, 8), "norm": "group"}


def parameters(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def test_the_published_network_has_its_published_size() -> None:
    assert parameters(ResidualUNet3d()) == 1_478_603


@pytest.mark.parametrize("shape", [(4, 16, 16), (3, 17, 22)])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2)])
def test_maps_have_the_size_of_the_volume(shape: tuple[int, ...], stride: tuple[int, int, int]) -> None:
    network = ResidualUNet3d(1, 5, stride=stride, **SMALL)  # type: ignore[arg-type]
    assert network(torch.rand(2, 1, *shape)).shape == (2, 5, *shape)


def test_the_pyramid_goes_from_coarse_to_fine() -> None:
    network = ResidualUNet3d(pool=(2, 2, 2), **SMALL)  # type: ignore[arg-type]
    pyramid = network.pyramid(torch.rand(1, 1, 8, 8, 8))
    assert [tuple(each.shape[1:]) for each in pyramid] == [(6, 4, 4, 4), (4, 8, 8, 8)]


def test_every_parameter_learns() -> None:
    network = ResidualUNet3d(**SMALL)  # type: ignore[arg-type]
    network(torch.rand(2, 1, 4, 16, 16)).square().mean().backward()
    assert [name for name, each in network.named_parameters() if not each.grad.abs().sum() > 0] == []  # type: ignore[union-attr]


@pytest.mark.parametrize("skips", [False, True])
def test_without_skips_nothing_passes_beside_the_bottleneck(skips: bool) -> None:
    torch.manual_seed(0)
    network = ResidualUNet3d(skips=skips, **SMALL).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for each in network.encoder[-1].parameters():
            each.zero_()
        one, other = (network(torch.rand(1, 1, 4, 16, 16)) for _ in range(2))
    assert torch.equal(one, other) == (not skips)


def test_weights_without_skips_fit_with_skips() -> None:
    pretrained = ResidualUNet3d(1, 1, skips=False, **SMALL)  # type: ignore[arg-type]
    found = Weights.of(pretrained, WeightsInfo("residual_unet3d", kind="encoder"))
    report = found.load_into(
        ResidualUNet3d(1, 3, **SMALL),
        rename=lambda name: None if name.startswith("out.") else name,  # type: ignore[arg-type]
    )
    assert report.skipped == ("out.weight", "out.bias")
    assert report.missing == ("out.weight", "out.bias")


@pytest.mark.parametrize("shape", [(5, 64, 64), (6, 6, 6), (1, 1, 1)])
def test_a_volume_smaller_than_its_levels_passes(shape: tuple[int, ...]) -> None:
    network = ResidualUNet3d(widths=(4, 6, 8), pool=(2, 2, 2), norm="group", stride=(2, 2, 2)).eval()
    assert network(torch.rand(1, 1, *shape)).shape == (1, 3, *shape)


def test_without_depth_no_section_sees_another() -> None:
    network = ResidualUNet3d(widths=(4, 6), pool=(1, 2, 2), norm="group", kernel=(1, 3, 3), deep=1).eval()
    kernels = {each.kernel_size[0] for each in network.modules() if isinstance(each, torch.nn.Conv3d)}
    assert kernels == {1}


def test_features_of_odd_lengths_are_those_of_the_volume_continued() -> None:
    """What the volume's end cannot reach is the same, to the last level, where nothing is cut."""
    torch.manual_seed(0)
    network = ResidualUNet3d(widths=(2, 3, 4), pool=(2, 2, 2), deep=1, stride=(2, 2, 2)).eval()
    volume = torch.rand(1, 1, 8, 8, 136)
    with torch.no_grad():
        cut, whole = network(volume[..., :131]), network(volume)
    assert torch.allclose(cut[..., :64], whole[..., :64], atol=1e-5)


def test_an_impulse_stays_in_place_through_the_coarsest_level() -> None:
    class Passed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    network = ResidualUNet3d(widths=(1, 1, 1), pool=(2, 2, 2), skips=False)
    network.stem, network.head, network.out = Passed(), Passed(), Passed()  # type: ignore[assignment]
    for blocks in (network.encoder, network.decoder, network.narrow):
        for number in range(len(blocks)):
            blocks[number] = Passed()
    for length in (16, 29, 30, 31):
        volume = torch.zeros(1, 1, 8, 8, length)
        volume[..., 12:16] = 1
        line = network(volume)[0, 0, 4, 4].double()
        assert float(line @ torch.arange(length).double() / line.sum()) == pytest.approx(13.5, abs=0.5)
