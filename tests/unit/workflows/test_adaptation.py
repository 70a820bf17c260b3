"""Two domains in one plan: what is refused before the training, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError
from morula.core.types import Voxel
from morula.workflows.adaptation import load_domains
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
