import numpy as np
import pytest

from morula.post import Candidates, choose, regions

LEVELS = [0.2, 0.4, 0.6, 0.8]


def ellipse(centre, radii, shape=(80, 96)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1]) <= 1).astype(np.float32)


def test_a_long_object_is_one_convex_region_with_a_strong_edge():
    density = ellipse((40, 48), (6, 36))
    found = regions(density, LEVELS, smallest=50, largest=2000)
    best = int(np.argmax(found.edge))
    assert found.area[best] == pytest.approx(density.sum(), rel=0.2)
    assert found.convexity[best] > 0.93
    assert found.roundness[best] < 0.5


def test_an_object_too_large_or_too_small_is_left_out():
    density = np.maximum(ellipse((40, 24), (16, 16)), ellipse((40, 70), (3, 3)))
    assert len(regions(density, LEVELS, smallest=60, largest=400).area) == 0


def test_two_touching_objects_are_offered_as_two_and_as_one():
    density = np.maximum(ellipse((40, 32), (12, 12)), ellipse((40, 55), (12, 12)))
    found = regions(density, [0.5], smallest=100, largest=2000)
    assert sorted(found.area.tolist()) == pytest.approx([440, 440, 880], rel=0.1)
    whole = int(np.argmax(found.area))
    assert found.convexity[whole] < found.convexity.max() - 0.05


def test_the_cut_between_touching_parts_counts_as_no_edge():
    single = regions(ellipse((40, 32), (12, 12)), [0.5], smallest=100, largest=2000)
    pair = np.maximum(ellipse((40, 32), (12, 12)), ellipse((40, 52), (12, 12)))
    parts = regions(pair, [0.5], smallest=100, largest=600)
    assert len(parts.area) == 2
    assert parts.edge.max() < single.edge.max()


def test_a_hole_is_filled():
    density = ellipse((40, 48), (16, 16)) - ellipse((40, 48), (5, 5))
    found = regions(density, [0.5], smallest=100, largest=2000)
    assert found.area.max() == pytest.approx(np.pi * 256, rel=0.08)


def test_an_empty_image_has_no_regions():
    found = regions(np.zeros((40, 40), np.float32), LEVELS, smallest=10, largest=100)
    assert len(found.area) == 0
    assert choose(found, found.edge, (40, 40), least=0.1)[0].max() == 0


def test_joined_candidates_keep_their_rows():
    first = regions(ellipse((40, 24), (10, 10)), [0.5], smallest=10, largest=1000)
    second = regions(ellipse((40, 70), (14, 14)), [0.5], smallest=10, largest=1000)
    both = Candidates.join([first, second])
    assert both.area.tolist() == [*first.area, *second.area]
    assert both.where(both.area > 400).boxes == list(second.boxes)
