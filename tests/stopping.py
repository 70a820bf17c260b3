"""A training that is stopped on purpose."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from morula.engine import Stage, loop

__all__ = ["stopped_at"]


@contextmanager
def stopped_at(name: str, step: int) -> Generator[None]:
    """Every step leaves a checkpoint, and Ctrl-C comes after this step of this stage, before it is kept."""

    def check(metrics: Mapping[str, float], at: int, stage: Stage) -> None:
        if (stage.name, at) == (name, step):
            raise KeyboardInterrupt

    with (
        patch.object(loop, "_refuse_not_finite", check),
        patch.dict(loop.fit.__kwdefaults__, {"save_seconds": 0.0}),
        pytest.raises(KeyboardInterrupt),
    ):
        yield
