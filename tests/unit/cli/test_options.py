"""What options say of values that cannot be."""

from __future__ import annotations

import pytest

from morula.cli.options import voxel
from morula.core.errors import UsageError


@pytest.mark.parametrize("size", [float("inf"), float("nan")])
def test_a_pixel_size_that_is_no_length_is_refused(size: float) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        voxel(size)
