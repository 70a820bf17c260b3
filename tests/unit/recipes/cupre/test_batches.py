import numpy as np
import pytest
import torch

from morula.core.rng import Rng
from morula.recipes.cupre.batches import Crop, Example, mixed_crops, paste
from morula.tasks.cells.decode import objects_in, stained_cut
from morula.tasks.cells.pseudo import Pseudo, targets
from morula.tasks.cells.scores import object_scores


def example(value, kind="fluorescence", size=80):
    labels = np.zeros((size, size), np.int32)
    labels[10:30, 10:30], labels[45:70, 40:70] = 1, 2
    image = np.full((4, size, size), value, np.float16)
    target = targets(Pseudo(labels, np.ones(2)), labels > 0)
    return Example(kind, image, target, labels)


def crop(labels, value):
    labels = np.asarray(labels, np.int32)
    layers = np.full((4, *labels.shape), value, np.float32)
    return Crop(layers, layers[:3], labels)


class Certain:
    """A draw that chooses everything."""

    def random(self, count):
        return np.zeros(count)


def batch(index=0, share=0.5, pasted=0.0, others=True):
    pool = [example(-100.0)] if others else []
    return mixed_crops(
        [example(100.0)], pool, Rng(0, "crops"), index, batch=4, size=48, share=share, pasted=pasted
    )


def test_the_share_of_crops_without_labels_is_kept():
    density = batch(share=0.5).image[:, 0].mean(dim=(1, 2))
    assert (density < 0).tolist() == [True, True, False, False]
    assert bool((batch(share=0.0).image[:, 0] > 0).all())
    assert bool((batch(share=0.5, others=False).image[:, 0] > 0).all())


def test_a_batch_depends_on_its_index_alone():
    assert torch.equal(batch(3, pasted=1.0).image, batch(3, pasted=1.0).image)
    assert not torch.equal(batch(3).image, batch(4).image)
    assert batch().image.shape == (4, 4, 48, 48) and batch().target.shape == (4, 3, 48, 48)


def test_pasted_objects_bring_image_target_and_number():
    host, guest = crop([[1, 1, 0, 0]], 5.0), crop([[0, 0, 1, 2]], 9.0)
    mixed = paste(host, guest, Certain())
    assert mixed.labels.tolist() == [[1, 1, 2, 3]]
    assert mixed.image[0].tolist() == [[5, 5, 9, 9]]
    assert mixed.target[2].tolist() == [[5, 5, 9, 9]]


def test_an_object_stays_away_where_others_are_in_its_way():
    host, guest = crop([[1, 1, 0, 0]], 5.0), crop([[0, 7, 7, 9]], 9.0)
    assert paste(host, guest, Certain()).labels.tolist() == [[1, 1, 0, 10]]


def test_nothing_comes_from_an_empty_crop():
    host = crop([[1, 1, 0, 0]], 5.0)
    assert paste(host, crop([[0, 0, 0, 0]], 9.0), Certain()).labels.tolist() == host.labels.tolist()


def test_objects_are_pasted_within_one_modality():
    """Tissue gets nothing from fluorescence: all its pixels keep the sign of its own image."""
    labelled = [example(100.0), example(-100.0, "H&E")]
    for index in range(6):
        made = mixed_crops(labelled, [], Rng(1), index, batch=4, size=48, share=0.0, pasted=1.0)
        dense = made.image[:, 0]
        assert all(bool((each > 0).all()) or bool((each < 0).all()) for each in dense)


def test_targets_of_labels_decode_to_the_labels():
    whole = example(1.0)
    inside, distance = whole.target[:2].astype(np.float32)
    found = objects_in(inside > 0.5, distance, 22.0, stained_cut("fluorescence"))
    assert found.max() == 2
    assert np.array_equal(found > 0, whole.labels > 0)
    assert object_scores(found, inside, distance, 22.0) == pytest.approx([1, 1], abs=0.01)
