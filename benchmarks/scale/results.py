"""Lines of measurements, one file a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["keep", "rows"]

_HERE = Path(__file__).parent / "results"


def rows(name: str) -> list[dict[str, Any]]:
    """What was measured before."""
    path = _HERE / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(name: str, row: dict[str, Any]) -> None:
    """Adds a line."""
    _HERE.mkdir(exist_ok=True)
    with (_HERE / f"{name}.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
