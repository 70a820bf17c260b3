import pytest
import torch

from morula.engine import Weights, WeightsInfo
from morula.nets import Unetr3d

SLAB, CUBE = (4, 16, 16), (8, 8, 8)


def small(patch: tuple[int, int, int] = SLAB, channels_out: int = 3, *, skips: bool = True) -> Unetr3d:
    torch.manual_seed(0)
    return Unetr3d(1, channels_out, patch=patch, skips=skips, width=32, depth=4, features=2)


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("patch", [SLAB, CUBE, (2, 4, 4)])
@pytest.mark.parametrize("shape", [(8, 32, 48), (5, 8, 17)])
def test_maps_have_the_size_of_the_volume(
    patch: tuple[int, int, int], shape: tuple[int, int, int], skips: bool
) -> None:
    assert small(patch, skips=skips)(torch.rand(2, 1, *shape)).shape == (2, 3, *shape)


def test_z_outgrows_the_plane_until_it_is_repaired() -> None:
    """The published trace: 8 x 10 x 10 patches, doubled three times, repaired, and doubled once more."""
    pyramid = small().pyramid(torch.rand(1, 1, 32, 160, 160))
    assert [tuple(each.shape[1:]) for each in pyramid] == [
        (16, 16, 20, 20), (8, 32, 40, 40), (4, 16, 80, 80), (2, 32, 160, 160),
    ]  # fmt: skip
    assert Unetr3d(depth=6).taps == (4, 3, 1)


@pytest.mark.parametrize("skips", [True, False])
def test_every_parameter_learns_those_of_the_transformer_too(skips: bool) -> None:
    network = small(skips=skips)
    network(torch.rand(2, 1, 8, 32, 32)).square().mean().backward()
    assert [name for name, each in network.named_parameters() if not each.grad.abs().sum() > 0] == []  # type: ignore[union-attr]


def test_without_skips_the_decoder_draws_from_the_last_block_alone() -> None:
    for skips in (False, True):
        network = small(skips=skips).eval()
        with torch.no_grad():
            network.norm.weight.zero_()
            one, other = (network(torch.rand(1, 1, 8, 32, 32)) for _ in range(2))
        assert torch.equal(one, other) == (not skips)


def test_weights_without_skips_all_fit_with_skips() -> None:
    found = Weights.of(small(channels_out=1, skips=False), WeightsInfo("unetr3d", kind="encoder"))
    whole = small(channels_out=5)
    report = found.load_into(whole, rename=lambda name: None if name.startswith("out.") else name)
    assert report.skipped == ("out.weight", "out.bias")
    assert {name.split(".")[0] for name in report.missing} == {"lateral", "shallow", "out"}


def test_another_grid_takes_the_positions_resized() -> None:
    network = small().eval()
    with torch.no_grad():
        network.positions.fill_(0.3)
        volume = torch.rand(1, 1, 8, 32, 48)
        even = network(volume)
        network.positions.zero_()
        network.embed.bias.add_(0.3)  # type: ignore[union-attr]
        assert torch.allclose(network(volume), even, atol=1e-4)


@pytest.mark.parametrize("patch", [(4, 16, 8), (4, 12, 12), (16, 8, 8), (1, 2, 2)])
def test_patches_that_cannot_be_doubled_back_are_refused(patch: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="patches are"):
        Unetr3d(patch=patch)
