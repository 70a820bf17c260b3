"""The config that was asked for: a preset, the changes in a file, and those on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morula.core.config import Config, from_toml, override, parse_assignments
from morula.core.errors import UsageError
from morula.recipes import load_recipe

__all__ = ["configured", "read_changes"]


def read_changes(
    config: Path | None, recipe: str | None, preset: str | None
) -> tuple[str | None, str, Mapping[str, Any]]:
    """Recipe, preset and changes of the config, as a file and the options beside it say.

    Args:
        config: TOML file with changes; `recipe` and `preset` in it count, too.
        recipe: that was asked for, None for none.
        preset: that was asked for, None for that of the file, or `best`.

    Raises:
        UsageError: the file cannot be read, names another recipe or preset, or none, or has keys above its
            table [config].
    """
    changes = {} if config is None else from_toml(config)
    for key, kind, wanted in (("recipe", str, "name"), ("preset", str, "name"), ("config", dict, "table")):
        if not isinstance(changes.get(key, kind()), kind):
            raise UsageError(str(config), f"{key} = {changes[key]!r} is not a {wanted}", f"give a {wanted}")
    recipe, preset = (
        _agreed(name, asked, changes.pop(name, None), str(config))
        for name, asked in (("recipe", recipe), ("preset", preset))
    )
    if "config" in changes and len(changes) > 1:
        strange = ", ".join(sorted(changes.keys() - {"config"}))
        raise UsageError(str(config), f"{strange} above the table [config]", "move it below that line")
    return recipe, preset or "best", changes.pop("config", changes)


def _agreed(name: str, asked: str | None, written: str | None, where: str) -> str | None:
    """What was asked for, or what the file says."""
    if asked is not None and written is not None and asked != written:
        found = f"it says {name} {written}, but {asked} was asked for"
        raise UsageError(where, found, f"ask for the same {name}, or take it out of the file")
    return asked if written is None else written


def configured(
    recipe: str, preset: str, changes: Mapping[str, Any], assignments: Sequence[str], where: str
) -> Config:
    """The preset with all changes.

    Args:
        recipe: whose config it is.
        preset: of the recipe, to start from.
        changes: nested values, as `read_changes` gives them.
        assignments: `key=value` texts that change the config last.
        where: what an error in `changes` names.

    Raises:
        UsageError: there is no such recipe, preset or key, a value is refused, or a change names a preset.
    """
    presets = load_recipe(recipe).presets()
    if preset not in presets:
        raise UsageError(
            "--preset", f"{recipe} has no preset {preset!r}", f"choose one of {', '.join(presets)}"
        )
    changed = override(presets[preset], changes, where=where)
    found = override(changed, parse_assignments(assignments))
    if getattr(found, "preset", preset) != preset:  # a name alone would not make it that preset
        raise UsageError("--set preset", "a preset is more than its name", "choose it with --preset")
    return found
