"""What the whole test suite shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images and published reference values."""
    folder = os.environ.get("MORULA_REAL_DATA")
    if folder is None:
        pytest.skip("MORULA_REAL_DATA is not set")
    return Path(folder)
