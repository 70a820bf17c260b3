"""What the tests of recipe emda share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def seeded() -> None:
    """Networks start with the same weights in every test."""
    torch.manual_seed(0)
