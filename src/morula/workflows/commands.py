"""The commands that a report gives its reader."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["again", "commands"]

_ROLES = {"--labels": "labels", "--source": "source", "--source-labels": "source_labels"}


def commands(plan: Mapping[str, Any], header: Mapping[str, Any], run: Path) -> tuple[str, ...]:
    """What repeats a run, and what uses its model.

    Args:
        plan: what `plan.json` holds.
        header: what `run.json` holds.
        run: the run's folder.
    """
    return (
        again(plan, header, run, out=f"{run}-again"),
        shlex.join(["morula", "predict", str(run), "NEW_IMAGES", "--out", "DIR"]),
    )


def again(plan: Mapping[str, Any], header: Mapping[str, Any], run: Path, *changes: str, out: str) -> str:
    """What repeats a run.

    Args:
        plan: what `plan.json` holds.
        header: what `run.json` holds.
        run: the run's folder.
        changes: more words of the command.
        out: another folder.
    """
    roles = [word for name, key in _ROLES.items() if plan[key] for word in (name, plan[key])]
    config = ["--config", str(run / "plan.toml"), "--seed", str(header["seed"]), *changes, "--out", out]
    return shlex.join(["morula", "run", plan["images"], *roles, *plan["told"], *config])
