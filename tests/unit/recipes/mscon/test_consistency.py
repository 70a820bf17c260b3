import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from morula.core.config import override
from morula.core.errors import UsageError
from morula.core.rng import Rng
from morula.nets import ResidualUNet3d
from morula.recipes.mscon.config import MsconConfig, Pretrain
from morula.recipes.mscon.consistency import Siamese, coded_similarity, info_nce
from morula.recipes.mscon.views import Views, erase
from morula.tasks.neurons import Network, Unlabelled

ROWS, LENGTH = 24, 16


def rows(seed: int) -> Tensor:
    return torch.randn((2, ROWS // 2, LENGTH), generator=torch.Generator().manual_seed(seed))


def slow_info_nce(first: Tensor, second: Tensor, temperature: float) -> float:
    a = [each / each.norm() for each in first.flatten(0, 1)]
    b = [each / each.norm() for each in second.flatten(0, 1)]
    total = 0.0
    for one, other in ((a, b), (b, a)):
        for number, row in enumerate(one):
            scores = [math.exp(float(row @ each) / temperature) for each in other]
            total -= math.log(scores[number] / sum(scores))
    return total / (2 * len(a))


def test_features_are_pooled_to_edges_that_heads_can_share() -> None:
    for pooled in (2, 6):
        network = ResidualUNet3d(1, 1, (4, 6), skips=False)
        seen = Siamese(network, pooled, everything=True)(*torch.rand((2, 1, 1, 8, 16, 16)))
        assert seen.x_y.shape[-1] == pooled**3
    with pytest.raises(UsageError, match=r"pretrain\.pooled: .*multiple of 2"):
        override(MsconConfig(), {"pretrain": {"pooled": 5}})


def test_as_many_tenths_of_the_channels_take_part_as_the_help_says() -> None:
    said = Pretrain.model_fields["channels"].description or ""
    assert "(k + 1) tenths of the channels of level k, coarsest 0" in said and "40 %" not in said
    siamese = Siamese(ResidualUNet3d(1, 1, (4, 6), skips=False), 2, everything=False)
    assert [len(kept) for kept in siamese._channels([100] * 2)] == [10, 20]
    assert [len(kept) for kept in siamese._channels([100] * 4)] == [10, 20, 30, 40]


def test_info_nce_equals_its_loops() -> None:
    assert float(info_nce(rows(0), rows(1), 0.1)) == pytest.approx(
        slow_info_nce(rows(0), rows(1), 0.1), rel=1e-5
    )


def learned(loss_of: Callable[[Tensor, Tensor, float], Tensor]) -> tuple[float, float]:
    """The loss and the mean cosine of partners after free vectors have followed a loss."""
    first, second = rows(2).requires_grad_(), rows(3).requires_grad_()
    optimiser = torch.optim.Adam([first, second], lr=0.05)
    loss = torch.zeros(())
    for _ in range(200):
        loss = loss_of(first, second, 0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach()), float(F.cosine_similarity(first, second, dim=-1).detach().mean())


def test_the_coded_loss_is_degenerate_and_info_nce_is_not() -> None:
    """The loss of the public code is at its least as soon as all similarities are equal, however low."""
    loss, cosine = learned(coded_similarity)
    assert loss == pytest.approx(math.log(ROWS), abs=1e-3)
    assert abs(cosine) < 0.3
    loss, cosine = learned(info_nce)
    assert loss < 0.1
    assert cosine > 0.8


def test_opposite_views_are_as_good_as_equal_ones_to_the_coded_loss() -> None:
    same, opposite = (float(coded_similarity(rows(4), sign * rows(4), 0.1)) for sign in (1, -1))
    assert same == pytest.approx(opposite) == pytest.approx(math.log(ROWS))


@pytest.mark.parametrize(("everything", "count"), [(True, 14), (False, 1 + 1)])
def test_rows_are_the_same_channels_of_both_views(everything: bool, count: int) -> None:
    torch.manual_seed(0)
    network = ResidualUNet3d(1, 1, (6, 8, 10), pool=(2, 2, 2), norm="group", skips=False)
    view = torch.rand(2, 1, 8, 8, 8)
    seen = Siamese(network, 2, everything=everything)(view, view)
    assert seen.x.shape == (2, count, 8)
    assert torch.equal(seen.x, seen.y)
    assert seen.o_w.shape == view.shape


@pytest.mark.parametrize("isotropic", [True, False])
def test_views_share_their_geometry(isotropic: bool) -> None:
    """Nothing but grey values differs: where the crop is bright, the weak view is, at the same voxel."""
    image = np.random.default_rng(0).random((12, 20, 20)).astype(np.float32)
    volumes = Unlabelled((image,), isotropic, Network())
    views = Views(volumes, Pretrain(crop=(8, 8, 8), erased=0.0), Rng(0, "views"))
    pair, again = views(3), views(3)
    assert torch.equal(pair.strong, again.strong)
    for crop, weak in zip(pair.crop, pair.weak, strict=True):
        assert np.corrcoef(crop.ravel(), weak.ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_the_wanted_share_is_erased(share: float) -> None:
    image = np.random.default_rng(0).random((16, 16, 16)).astype(np.float32)
    found = erase(np.random.default_rng(1), image, share)
    assert share <= np.mean(found != image) + 1e-9 <= share + 0.06
