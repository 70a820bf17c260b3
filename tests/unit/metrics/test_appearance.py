import numpy as np
import pytest
from scipy import ndimage as ndi

from em_scene import blobs
from morula.core.types import Array
from morula.metrics import Look, edge_contrast, look, predictability


@pytest.fixture(scope="module")
def scene() -> tuple[Array, Array, Look]:
    image, truth = blobs(0)
    return image, truth, look([image])


def test_truth_is_predictable_and_what_is_missed_added_or_moved_is_less_so(
    scene: tuple[Array, Array, Look],
) -> None:
    _, truth, seen = scene
    best = predictability([truth], seen)
    labels, count = ndi.label(truth)
    half = np.isin(labels, np.arange(1, count + 1, 2))
    added = truth | np.roll(half, (37, 51), (1, 2))
    assert best > 0.6
    for worse in (half, added, np.roll(truth, (9, 9), (1, 2))):
        assert predictability([worse], seen) < best - 0.1
    assert abs(predictability([np.random.default_rng(0).random(truth.shape) < 0.1], seen)) < 0.1


def test_outlines_of_the_truth_are_edges(scene: tuple[Array, Array, Look]) -> None:
    _, truth, seen = scene
    area = float(truth.sum() / ndi.label(truth)[1])
    best = edge_contrast([truth], seen, area=area)
    cross = ndi.generate_binary_structure(2, 1)[None]
    assert best > 0.3
    for worse in (
        ndi.binary_erosion(truth, cross, 4),
        ndi.binary_dilation(truth, cross, 4),
        np.roll(truth, (9, 9), (1, 2)),
    ):
        assert edge_contrast([worse], seen, area=area) < best - 0.1


def test_contrast_and_brightness_of_the_image_do_not_matter(scene: tuple[Array, Array, Look]) -> None:
    image, truth, seen = scene
    other = look([255.0 - image * 0.5])
    assert predictability([truth], other) == pytest.approx(predictability([truth], seen), abs=0.05)
    assert edge_contrast([truth], other, area=300) == pytest.approx(
        edge_contrast([truth], seen, area=300), abs=1e-3
    )


def test_several_images_are_judged_together(scene: tuple[Array, Array, Look]) -> None:
    image, truth, seen = scene
    both = look([image[:2], image[2:]])
    masks = [truth[:2], truth[2:]]
    assert predictability(masks, both) == pytest.approx(predictability([truth], seen), abs=0.1)
    assert edge_contrast(masks, both, area=300) == pytest.approx(edge_contrast([truth], seen, area=300))


def test_masks_without_foreground_or_background_say_nothing(scene: tuple[Array, Array, Look]) -> None:
    _, truth, seen = scene
    for mask in (np.zeros_like(truth), np.ones_like(truth)):
        assert (predictability([mask], seen), edge_contrast([mask], seen, area=1.0)) == (0.0, 0.0)


def test_the_same_seed_gives_the_same_answer(scene: tuple[Array, Array, Look]) -> None:
    image, truth, seen = scene
    assert predictability([truth], look([image])) == predictability([truth], seen)


def test_refuses_masks_of_other_images(scene: tuple[Array, Array, Look]) -> None:
    _, truth, seen = scene
    with pytest.raises(ValueError, match="for images of"):
        predictability([truth[:1]], seen)
    with pytest.raises(ValueError, match="at least one image"):
        look([])
