"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images, named by MORULA_REAL_DATA."""
    named = os.environ.get("MORULA_REAL_DATA")
    if not named:
        pytest.skip("MORULA_REAL_DATA is not set")
    return Path(named)
