import numpy as np
import pytest

from morula.post import blob_seeds, candidates, choose, closed_contours


def disc(centre, radius, shape=(64, 64)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (np.hypot(y - centre[0], x - centre[1]) <= radius).astype(np.float32)


def test_a_seed_lies_on_the_blob():
    seeds = blob_seeds(disc((30, 34), 8), [8.0])
    assert np.hypot(*(seeds[:, :2] - [30, 34]).T).min() < 1.5


def test_the_contour_follows_the_edge():
    radii, fall = closed_contours(disc((32, 32), 10), np.array([[32.0, 32.0, 9.0]]))
    assert radii == pytest.approx(10.3, abs=1.0)
    assert fall.min() > 0.1


def test_a_pale_centre_does_not_draw_the_contour_inwards():
    ring = disc((32, 32), 12) - 0.7 * disc((32, 32), 6)
    radii, _ = closed_contours(ring, np.array([[32.0, 32.0, 11.0]]))
    assert radii.mean() == pytest.approx(12.3, abs=1.0)


def test_two_touching_discs_stay_two():
    density = np.maximum(disc((32, 20), 8), disc((32, 37), 8))
    found = candidates(density, [6.0, 8.0, 12.0])
    labels, chosen = choose(found, found.edge * found.roundness**4, density.shape, least=0.05, overlap=0.2)
    assert labels[32, 20] != labels[32, 37]
    assert labels[32, 20] > 0 and labels[32, 37] > 0
    assert labels.max() == len(chosen)


def test_an_empty_image_gives_no_candidates():
    found = candidates(np.zeros((40, 40), np.float32), [5.0])
    assert len(found.area) == 0
    labels, chosen = choose(found, np.zeros(0), (40, 40), least=0.1)
    assert labels.max() == 0 and len(chosen) == 0


def test_an_object_cut_by_the_border_is_found():
    density = disc((32, 1), 9)
    found = candidates(density, [6.0, 9.0])
    labels, _ = choose(found, found.edge, density.shape, least=0.05)
    inside = (labels > 0) & (density > 0)
    assert inside.sum() > 0.8 * density.sum()
