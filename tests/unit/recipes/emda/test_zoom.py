from __future__ import annotations

import numpy as np
import pytest

from morula.core.errors import DataError
from morula.core.types import Array
from morula.recipes.emda.domains import Domain
from morula.recipes.emda.zoom import search_zoom
from synthetic import em_stack


@pytest.mark.parametrize("nm", [5.0, 8.0, 14.0])
def test_the_zoom_is_that_at_which_objects_are_as_large_as_the_sources(nm: float) -> None:
    image, mask = em_stack(0, size=160, sections=3)
    target, truth = em_stack(0, nm=nm, size=round(160 * 8 / nm), sections=3)

    def finds_all(sections: Array) -> Array:
        y, x = (
            np.arange(new) * old // new for new, old in zip(sections.shape[1:], truth.shape[1:], strict=True)
        )
        return truth[:, y][:, :, x].astype(np.float32)

    found = search_zoom(finds_all, [target], Domain((image,), (mask,), (1.0,)), [1.0])
    assert found.zoom == pytest.approx(nm / 8, rel=0.25)
    assert found.scores[found.zoom] == max(found.scores.values())


def test_the_zoom_is_that_of_the_first_volume_whichever_is_looked_at() -> None:
    image, mask = em_stack(0, sections=1)
    seen: list[tuple[int, ...]] = []

    def finds_nothing(sections: Array) -> Array:
        seen.append(sections.shape)
        return np.zeros(sections.shape, np.float32)

    target = [image[:, :100, :100], em_stack(1, sections=1, size=160)[0]]
    found = search_zoom(finds_nothing, target, Domain((image,), (mask,), (1.0,)), [1.0, 0.5])
    assert seen == [(1, round(80 * zoom), round(80 * zoom)) for zoom in found.scores]


def test_sections_too_small_for_any_zoom_are_refused() -> None:
    image, mask = em_stack(0, sections=2)
    with pytest.raises(DataError, match="too small"):
        search_zoom(lambda each: each, [image[:, :8, :8]], Domain((image,), (mask,), (1.0,)), [1.0])
