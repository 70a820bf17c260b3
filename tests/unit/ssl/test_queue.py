import pytest
import torch

from morula.core.rng import Rng
from morula.ssl import KeyQueue


def keys(*values):
    return torch.tensor([[float(value)] for value in values])


def test_the_ring_goes_on_at_its_start():
    queue = KeyQueue(5, 1, Rng(0))
    queue.push(keys(1, 2, 3), torch.tensor([10, 11, 12]))
    queue.push(keys(4, 5, 6), torch.tensor([13, 14, 15]))
    assert queue.keys[:, 0].tolist() == [6, 2, 3, 4, 5]
    assert queue.images.tolist() == [15, 11, 12, 13, 14]
    assert int(queue.place) == 1


def test_it_holds_the_last_keys_whatever_the_batches():
    """Against a list that is cut to its end."""
    queue, slow = KeyQueue(7, 1, Rng(0)), []
    draw, number = Rng(1).at(0), 0
    for _ in range(30):
        size = int(draw.integers(1, 8))
        pushed = [number + i for i in range(size)]
        queue.push(keys(*pushed), torch.tensor(pushed))
        slow, number = [*slow, *pushed][-7:], number + size
        assert sorted(queue.images[queue.images >= 0].tolist()) == sorted(slow)
        assert torch.equal(queue.images[queue.images >= 0].float(), queue.keys[queue.images >= 0, 0])


def test_a_query_knows_the_keys_of_its_own_image():
    queue = KeyQueue(4, 1, Rng(0))
    queue.push(keys(1, 2, 3), torch.tensor([8, 9, 8]))
    assert queue.same(torch.tensor([8, 7])).tolist() == [[True, False, True, False], [False] * 4]


def test_a_new_queue_belongs_to_no_image_and_has_unit_keys():
    queue = KeyQueue(6, 3, Rng(0))
    assert not queue.same(torch.arange(9)).any()
    assert torch.allclose(queue.keys.norm(dim=1), torch.ones(6))
    assert not torch.equal(queue.keys, KeyQueue(6, 3, Rng(1)).keys)


def test_keys_are_kept_without_gradient():
    queue = KeyQueue(4, 2, Rng(0))
    queue.push(torch.ones(2, 2, requires_grad=True) * 2, torch.tensor([0, 1]))
    assert not queue.keys.requires_grad
    assert list(queue.parameters()) == []


def test_more_keys_than_places_are_refused():
    with pytest.raises(ValueError, match="5 keys do not fit into a queue of 4"):
        KeyQueue(4, 1, Rng(0)).push(keys(1, 2, 3, 4, 5), torch.arange(5))
