import numpy as np
import pytest

from morula.core.affinities import NEAREST, Affinities
from morula.post import boundary, fragments
from morula.targets import affinities


def bricks(shape: tuple[int, int, int] = (6, 16, 20)) -> np.ndarray:
    z, y, x = np.indices(shape)
    return 1 + (z >= 3) + 2 * (y >= 8) + 4 * (x >= 10)


def test_a_boundary_is_shared_by_both_sides() -> None:
    values = np.ones((3, 1, 1, 4), np.float32)
    values[2, 0, 0, 2] = 0
    found = boundary(Affinities(values, NEAREST), per_section=True)
    assert found.ravel().tolist() == [0, 0.5, 0.5, 0]


def test_polarity_does_not_matter_and_z_can_be_left_out() -> None:
    truth = affinities(bricks(), NEAREST)
    turned = Affinities(1 - truth.values, NEAREST, "repulsive")
    assert np.array_equal(boundary(truth, per_section=False), boundary(turned, per_section=False))
    assert boundary(truth, per_section=False)[2, 4, 5] > 0
    assert boundary(truth, per_section=True)[2, 4, 5] == 0


@pytest.mark.parametrize("per_section", [True, False])
def test_fragments_cover_all_and_stay_inside_objects(per_section: bool) -> None:
    found = fragments(affinities(bricks(), NEAREST), per_section=per_section, threshold=0.3)
    assert np.unique(found).tolist() == list(range(1, found.max() + 1))
    mixed = [n for n in range(1, found.max() + 1) if len(np.unique(bricks()[found == n])) > 1]
    assert mixed == []
    assert found.max() == (6 * 4 if per_section else 8)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("per_section", [True, False])
def test_a_gap_in_a_thin_membrane_lets_no_fragment_through(per_section: bool, noise: float) -> None:
    """Flooded along affinities alone, one fragment fills 99 % of the volume without noise."""
    cells = np.ones((16, 40, 80), int)
    cells[:, :, 40:] = 2
    inside = np.ones(cells.shape, int)
    inside[:, :, 39:41] = 0
    inside[7:10, 20:23, 39:41] = 1
    values = 0.03 + 0.94 * affinities(inside, NEAREST).values.astype(np.float32)
    values += np.random.default_rng(0).normal(0, noise, values.shape).astype(np.float32)
    found = fragments(Affinities(values.clip(0, 1), NEAREST), per_section=per_section)
    shared = np.bincount(2 * found.ravel() + cells.ravel() - 1, minlength=2 * found.max() + 2).reshape(-1, 2)
    assert shared.min(axis=1).sum() < 0.02 * cells.size
    assert shared.sum(axis=1).max() < 0.55 * cells.size


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_without_any_contrast_there_is_still_a_fragment(level: float) -> None:
    flat = Affinities(np.full((3, 2, 5, 5), level, np.float32), NEAREST)
    assert fragments(flat, per_section=False).max() == 1
    assert [np.unique(each).tolist() for each in fragments(flat, per_section=True)] == [[1], [2]]


def test_what_lacks_a_nearest_offset_is_refused() -> None:
    with pytest.raises(KeyError, match="no channel"):
        fragments(Affinities(np.ones((1, 2, 4, 4)), ((-1, 0, 0),)), per_section=True)


def test_a_section_without_seeds_has_fragments_of_its_own() -> None:
    """The smoothed top of two equal pixels lies between them, where there is only border."""
    values = np.full((3, 3, 9, 9), 0.95, np.float32)
    values[1:, 1] = 0.1
    values[1:, 1, 4, (3, 5)] = 0.2
    pieces = fragments(Affinities(values, NEAREST), per_section=True)
    assert pieces.min() == 1
    assert not set(np.unique(pieces[1])) & (set(np.unique(pieces[0])) | set(np.unique(pieces[2])))
