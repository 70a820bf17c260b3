import pytest
import torch

from morula.nets import UNet2d


@pytest.mark.parametrize("shape", [(32, 48), (33, 50)])
def test_maps_have_the_size_of_the_image(shape):
    network = UNet2d(4, 2, (8, 12, 16))
    assert network(torch.zeros(2, 4, *shape)).shape == (2, 2, *shape)


@pytest.mark.parametrize("narrow", [False, True])
def test_every_parameter_gets_a_gradient(narrow):
    network = UNet2d(3, 1, (8, 12), narrow=narrow)
    network(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_narrow_decoder_has_fewer_weights_and_the_wide_one_none_for_narrowing():
    wide, narrow = (
        sum(p.numel() for p in UNet2d(1, 1, (8, 16), narrow=n).parameters()) for n in (False, True)
    )
    assert wide - narrow == 9 * 8 * 8 - (16 * 8 + 8)
    assert not [name for name in UNet2d(1, 1, (8, 16)).state_dict() if "narrow" in name]
