"""Two domains in one plan: what is refused before the training, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError
from morula.core.types import Voxel
from morula.recipes.emda.config import presets
from morula.workflows.adaptation import load_domains, why_adapt
from synthetic import em_pair

SIZE = Voxel(z=40.0, y=8.0, x=8.0)


def test_labels_of_the_target_that_cannot_be_scored_are_refused_before_the_training(tmp_path: Path) -> None:
    pair = em_pair(tmp_path, sections=2, size=64)
    mask = tifffile.imread(pair["target_labels"]) * np.uint8(255)
    mask[:, :30] = 2  # most of what is not 0, as in Kasthuri++
    tifffile.imwrite(pair["target_labels"], mask, photometric="minisblack")
    paths = (pair[name] for name in ("target", "target_labels", "source", "source_labels"))
    with pytest.raises(DataError, match=r"target_labels\.tif: the values 2 and 255 alone"):
        load_domains(*paths, SIZE, SIZE, skip_bad=False)


@pytest.mark.parametrize(
    ("preset", "sizes", "expected", "unexpected"),
    [
        ("best", (8.0, 4.0), "brought to one size", "as they are"),
        ("best", (8.0, None), "ratio is estimated", "one size"),
        ("best", (None, None), "estimated ratio is stated in the report", "as they are"),
        ("paper", (8.0, 4.0), "taken as they are", "one size"),
        ("paper", (None, None), "taken as they are", "ratio"),
        ("paper", (8.0, 2.0), "objects of another size in pixels", "fine detail"),
        ("best", (8.0, 2.0), "fine detail", "objects of another size"),
    ],
)
def test_the_plan_says_what_becomes_of_pixel_sizes(
    preset: str, sizes: tuple[float | None, float | None], expected: str, unexpected: str
) -> None:
    ours, theirs = (None if nm is None else [nm, nm] for nm in sizes)
    facts = {"images": 1, "sources": 1, "labelled": 0, "pixel_nm": ours, "source_pixel_nm": theirs}
    told = " ".join(sum(why_adapt(facts, presets()[preset], asked=False), ()))
    assert expected in told
    assert unexpected not in told
