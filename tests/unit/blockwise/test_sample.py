"""The range of grey of a volume, told from a part of it."""

from __future__ import annotations

import numpy as np
import pytest

from morula.blockwise import sample

TISSUE = np.random.default_rng(0).integers(60, 180, (60, 200, 200)).astype(np.uint8)


@pytest.mark.parametrize("whole", [2**26, 0])
@pytest.mark.parametrize("part", [slice(0, 100), slice(20, 180), slice(100, 200)])
def test_tissue_in_a_part_of_the_frame_is_seen(
    part: slice, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morula.blockwise.model._WHOLE", whole)
    volume = np.zeros_like(TISSUE)
    volume[:, part, part] = TISSUE[:, part, part]
    assert np.percentile(sample(volume), 99.5) == pytest.approx(np.percentile(volume, 99.5), abs=3)
