import numpy as np
import pytest

from morula.core.rng import Rng
from morula.recipes.cupre.look import Look, fit_look, median_diameter
from synthetic import field


def test_labels_bring_their_objects_to_the_wanted_size():
    image, labels = field(0)
    look, _ = fit_look([image], [labels], normalise=True, diameter=22.0)
    prepared = look.labelled(image, labels)
    zoom = prepared.density.shape[0] / image.shape[0]
    assert median_diameter(labels) * zoom == pytest.approx(22.0, rel=0.02)


def test_labels_correct_the_estimate_for_images_without():
    """Where people outline objects half as wide as their edges say, others are taken to be as wide."""
    image, labels = field(0)
    other, _ = field(1)
    honest, found = fit_look([image, other], [labels, None], normalise=True, diameter=22.0)
    core = np.where(median_core(labels), labels, 0)
    biased, _ = fit_look([image, other], [core, None], normalise=True, diameter=22.0)
    assert biased.bias < honest.bias - 0.1
    assert biased.sized(other, found[1]).diameter < honest.sized(other, found[1]).diameter


def median_core(labels):
    from scipy import ndimage as ndi

    return ndi.distance_transform_edt(labels > 0) > 4


def test_spread_cells_are_seen_larger_and_in_dark_and_bright():
    image = np.full((200, 200, 1), 110, np.uint8) + Rng(2).at(0).normal(0, 8, (200, 200, 1)).astype(np.uint8)
    labels = np.zeros((200, 200), np.uint16)
    labels[20:80, 20:80], labels[100:160, 90:150] = 1, 2
    look, _ = fit_look([image], [labels], normalise=True, diameter=22.0)
    prepared = look.labelled(image, labels)
    assert prepared.modality == "phase contrast" and look.diameter_of("H&E") == 22.0
    zoom = prepared.density.shape[0] / 200
    assert median_diameter(labels) * zoom == pytest.approx(look.diameter_of("phase contrast"), rel=0.02)
    assert prepared.colour.min() < 0 < prepared.density.min()


def test_without_normalisation_nothing_is_rescaled():
    image, labels = field(0)
    look, found = fit_look([image], [labels], normalise=False, diameter=22.0)
    assert look.diameter == median_diameter(labels)
    prepared = look.of(image)
    assert prepared.density.shape == image.shape[:2] and found == [None]
    assert prepared.density.min() >= 0 and prepared.density.max() <= 1
    assert np.array_equal(look.labelled(image, labels).density, prepared.density)


@pytest.mark.parametrize("normalise", [True, False])
def test_a_look_survives_being_saved(normalise):
    image, labels = field(0)
    look, _ = fit_look([image], [labels], normalise=normalise, diameter=22.0)
    again = Look.of_json(look.as_json())
    assert again == look
    assert np.array_equal(again.of(image).density, look.of(image).density)


def test_a_new_image_looks_as_it_did_in_training():
    image, labels = field(0)
    look, found = fit_look([image], [labels], normalise=True, diameter=22.0)
    assert np.array_equal(look.of(image).density, look.sized(image, found[0]).density)


def test_median_diameter_ignores_gaps_in_the_numbers():
    labels = np.zeros((20, 20), np.uint16)
    labels[:4, :4], labels[10:14, 10:14] = 3, 9
    assert median_diameter(labels) == pytest.approx(2 * np.sqrt(16 / np.pi))
