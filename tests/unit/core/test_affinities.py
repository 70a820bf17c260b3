import numpy as np
import pytest

from morula.core.affinities import LONG_RANGE, MUTEX, NEAREST, Affinities, edge


@pytest.mark.parametrize("offsets", [NEAREST, LONG_RANGE, MUTEX])
def test_named_offsets_are_distinct_and_point_backwards(offsets: tuple[tuple[int, int, int], ...]) -> None:
    found = Affinities(np.zeros((len(offsets), 2, 3, 4)), offsets)
    assert found.shape == (2, 3, 4)
    assert offsets[:3] == NEAREST


def test_polarity_is_turned_once() -> None:
    values = np.array([0.1, 0.7, 1.0]).reshape(3, 1, 1, 1)
    repulsive = Affinities(values, NEAREST, "repulsive")
    assert repulsive.attractive().values.ravel() == pytest.approx([0.9, 0.3, 0.0])
    assert repulsive.attractive().attractive().polarity == "attractive"


def test_a_channel_is_found_by_its_offset_wherever_it_lies() -> None:
    offsets = ((0, 0, -1), (0, -9, 0), (-1, 0, 0), (0, -1, 0))
    values = np.arange(4.0).reshape(4, 1, 1, 1)
    found = Affinities(values, offsets)
    assert found.nearest().values.ravel().tolist() == [2, 3, 0]
    with pytest.raises(KeyError, match="no channel"):
        found.of((0, -3, 0))


@pytest.mark.parametrize(
    ("channels", "offsets", "message"),
    [
        (2, NEAREST, "3 offsets"),
        (1, ((0, 1, 0),), "point backwards"),
        (1, ((0, 1, -1),), "point backwards"),
        (2, (NEAREST[0], NEAREST[0]), "twice"),
    ],
)
def test_what_cannot_be_read_is_refused(channels: int, offsets: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Affinities(np.zeros((channels, 1, 1, 1)), offsets)


@pytest.mark.parametrize("offset", [(-1, 0, 2), (0, -5, 1), (-9, 0, 0), (0, 0, 0)])
def test_edges_are_all_pairs_inside(offset: tuple[int, int, int]) -> None:
    numbers = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    here, there = edge(offset, numbers.shape)
    places = np.argwhere(np.ones(numbers.shape, bool))
    moved = places + np.array(offset)
    inside = ((moved >= 0) & (moved < numbers.shape)).all(axis=1)
    assert numbers[here].ravel().tolist() == numbers[tuple(places[inside].T)].tolist()
    assert numbers[there].ravel().tolist() == numbers[tuple(moved[inside].T)].tolist()
