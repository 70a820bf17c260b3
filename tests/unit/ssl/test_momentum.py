import torch
from torch import nn

from morula.core.rng import Rng
from morula.engine import seeded
from morula.losses import info_nce
from morula.ssl import KeyQueue, MomentumEncoder, Projection


def encoder(seed=0):
    with seeded(Rng(seed)):
        return nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), Projection(6, 4))


def images(count, seed=0):
    return torch.from_numpy(Rng(seed).at(0).standard_normal((count, 1, 8, 8), dtype="float32"))


def test_it_follows_by_the_momentum_and_keeps_its_own_statistics():
    query, key = encoder(0), MomentumEncoder(encoder(1))
    before = [p.clone() for p in key.encoder.parameters()]
    query(images(4))
    key.follow(query, 0.9)
    for old, now, target in zip(before, key.encoder.parameters(), query.parameters(), strict=True):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * target)
    assert int(key.encoder[1].num_batches_tracked) == 0 < int(query[1].num_batches_tracked)


def test_keys_are_made_part_by_part_and_come_back_in_order():
    """Against one forward a part, written out."""
    key, batch, order = MomentumEncoder(encoder(), parts=2), images(6), torch.tensor([4, 0, 5, 2, 1, 3])
    found = key(batch, order)
    slow = torch.empty_like(found)
    for part in ([4, 0, 5], [2, 1, 3]):
        slow[part] = key.encoder(batch[part])
    torch.testing.assert_close(found, slow)
    assert not torch.allclose(found, key.encoder(batch), atol=1e-4)  # as one batch they are others


def test_only_the_query_gets_a_gradient():
    query, queue = encoder(), KeyQueue(8, 4, Rng(0))
    key = MomentumEncoder(query)
    loss = info_nce(query(images(4)), key(images(4, 1), torch.arange(4)), queue.keys, 0.2)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in query[3].parameters())
    assert all(p.grad is None and not p.requires_grad for p in key.parameters())


def test_points_lie_on_the_sphere():
    assert torch.allclose(encoder()(images(5)).norm(dim=1), torch.ones(5), atol=1e-6)
