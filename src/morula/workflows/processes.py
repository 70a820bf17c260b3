"""Training in several processes: refused before work starts where batches cannot be split between them."""

from __future__ import annotations

from collections.abc import Mapping

from morula.core.config import Config
from morula.core.errors import UsageError
from morula.recipes import load_recipe

__all__ = ["refuse_uneven"]


def refuse_uneven(recipe: str, config: Config, processes: int, part: str = "") -> None:
    """Refuses a number of processes between which a batch of the recipe cannot be split.

    Args:
        recipe: its name.
        config: of the recipe.
        processes: in all, on all machines.
        part: only settings whose names begin with it count.

    Raises:
        UsageError: a batch is no multiple, or the recipe trains in one process alone.
    """
    if processes <= 1:
        return
    batches: Mapping[str, int] = load_recipe(recipe).batch_sizes(config)
    for name, size in batches.items():
        if name.startswith(part) and size % processes:
            found = f"{size} samples cannot be split evenly between {processes} processes"
            raise UsageError(
                name, found, f"set it to a multiple of {processes}, or change --devices or --nodes"
            )
