"""A large image is predicted in tiles, and no seam shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morula.core.rng import Rng
from morula.engine import seeded
from morula.nets import UNet2d
from morula.tasks.cells import decode
from morula.tasks.cells.front import Prepared


@pytest.mark.parametrize("shape", [(300, 530), (256, 256), (257, 90)])
def test_tiles_equal_the_whole(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    density = np.random.default_rng(0).random(shape, dtype=np.float32)
    image = Prepared("H&E", density, np.stack([density] * 3, axis=-1), shape, 22.0)
    with seeded(Rng(0, "net")):
        network = UNet2d(4, 2, (8, 12)).eval()
    whole = decode.network_maps(network, image, torch.device("cpu"), augment=False)
    monkeypatch.setattr(decode, "TILE", 128)
    tiled = decode.network_maps(network, image, torch.device("cpu"), augment=False)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert np.std(whole) > 1e-4
