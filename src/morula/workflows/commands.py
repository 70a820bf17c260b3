"""The commands that a report gives its reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["commands"]


def commands(plan: Mapping[str, Any], header: Mapping[str, Any], run: Path) -> tuple[str, ...]:
    """What repeats a run, and what uses its model.

    Args:
        plan: what `plan.json` holds.
        header: what `run.json` holds.
        run: the run's folder.
    """
    labels = f" --labels {plan['labels']}" if plan["labels"] else ""
    if "block" in plan["facts"]:
        labels += f" --voxel-size {plan['facts']['voxel']}"
        offset = plan["facts"]["label_offset"]
        labels += f" --label-offset {' '.join(map(str, offset))}" if offset else ""
        labels += f" --axes {plan['facts']['axes']}" if plan["facts"]["axes"] else ""
    if "label_suffix" in plan["facts"]:
        labels += f" --voxel-size {plan['facts']['voxel']}"
        suffix = plan["facts"]["label_suffix"]
        labels += f" --label-suffix {suffix}" if suffix else ""
    if plan["source"]:
        facts = plan["facts"]
        labels += f" --source {plan['source']} --source-labels {plan['source_labels']}"
        labels += f" --voxel-size {facts['voxel']} --source-voxel-size {facts['source_voxel']}"
    config = run / "plan.toml"
    return (
        f"morula run {plan['images']}{labels} --config {config} --seed {header['seed']} --out {run}-again",
        f"morula predict {run} NEW_IMAGES --out DIR",
    )
