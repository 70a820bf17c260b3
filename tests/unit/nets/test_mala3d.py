import pytest
import torch

from morula.engine import Weights, WeightsInfo
from morula.nets import Mala3d


def small(channels_out: int = 3, *, skips: bool = True) -> Mala3d:
    torch.manual_seed(0)
    return Mala3d(1, channels_out, (2, 4, 8), skips=skips)


def test_the_published_widths_have_84_million_parameters() -> None:
    with torch.device("meta"):
        count = sum(each.numel() for each in Mala3d().parameters())
    assert round(count / 1e6) == 84


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("shape", [(5, 27, 18), (4, 20, 11)])
def test_maps_have_the_size_of_the_volume(shape: tuple[int, int, int], skips: bool) -> None:
    network = small(skips=skips)
    assert network(torch.rand(2, 1, *shape)).shape == (2, 3, *shape)
    assert [each.shape[1] for each in network.pyramid(torch.rand(2, 1, *shape))] == [4, 2]


def test_the_plane_shrinks_by_three_and_z_never() -> None:
    coarse, fine = small().pyramid(torch.rand(1, 1, 6, 27, 54))
    assert coarse.shape[2:] == (6, 9, 18)
    assert fine.shape[2:] == (6, 27, 54)


def test_without_skips_the_decoder_draws_from_the_bottleneck_alone() -> None:
    for skips in (False, True):
        network = small(skips=skips).eval()
        with torch.no_grad():
            for each in network.encoder[-1].parameters():
                each.zero_()
            one, other = (network(torch.rand(1, 1, 4, 9, 9)) for _ in range(2))
        assert torch.equal(one, other) == (not skips)


def test_weights_without_skips_all_fit_with_skips() -> None:
    found = Weights.of(small(channels_out=1, skips=False), WeightsInfo("mala3d", kind="encoder"))
    whole = small(channels_out=5)
    report = found.load_into(whole, rename=lambda name: None if name.startswith("out.") else name)
    assert report.skipped == ("out.weight", "out.bias")
    assert {name.split(".")[0] for name in report.missing} == {"out"}


def test_every_parameter_learns() -> None:
    network = small()
    network(torch.rand(2, 1, 4, 18, 18)).square().mean().backward()
    assert [name for name, each in network.named_parameters() if not each.grad.abs().sum() > 0] == []  # type: ignore[union-attr]


def test_features_of_other_lengths_are_those_of_the_volume_continued() -> None:
    network, volume = small().eval(), torch.rand(1, 1, 2, 9, 135)
    with torch.no_grad():
        cut, whole = network(volume[..., :128]), network(volume)
    assert torch.allclose(cut[..., :72], whole[..., :72], atol=1e-5)
