"""Configuration at the border: frozen pydantic models, short TOML files, `--set key=value`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from morula.core.errors import UsageError

__all__ = ["Config", "from_toml", "override", "parse_assignments", "to_toml"]


class Config(BaseModel):
    """Base of every config: values cannot change, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


C = TypeVar("C", bound=Config)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Nested values from `key=value` texts; values are read as TOML, and as plain text where they are none.

    Raises:
        UsageError: a text has no `=`, or names a key of what another gave a value.

    >>> parse_assignments(["optim.lr=3e-4", "preset=best"])
    {'optim': {'lr': 0.0003}, 'preset': 'best'}
    """
    values: dict[str, Any] = {}
    for text in assignments:
        key, found, value = text.partition("=")
        if not found or not key.strip():
            raise UsageError(f"--set {text}", "there is no '='", "write it as --set key=value")
        table = values
        *parents, last = key.strip().split(".")
        for parent in parents:
            inner = table.setdefault(parent, {})
            if not isinstance(inner, dict):
                found = f"{parent} was given a value before"
                raise UsageError(f"--set {text}", found, "leave one of the two out")
            table = cast("dict[str, Any]", inner)
        table[last] = _value(value.strip())
    return values


def override(config: C, values: Mapping[str, Any], *, where: str = "--set") -> C:
    """A copy of `config` with some values changed, at any depth.

    Args:
        config: the preset.
        values: nested values to change.
        where: what an error names, a file or an option.

    Raises:
        UsageError: a key is unknown (the nearest valid one is named) or a value is refused.

    >>> class Optim(Config):
    ...     lr: float = 0.1
    >>> override(Optim(), {"lr": 0.2})
    Optim(lr=0.2)
    """
    _refuse_unknown(config, values, where, "")
    try:
        return type(config).model_validate(_merge(config.model_dump(), values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "config"
        found = f"{first['msg'][0].lower()}{first['msg'][1:]} (found {first['input']!r})"
        raise UsageError(f"{where} {key}", found, "correct the value") from error


def from_toml(path: Path) -> dict[str, Any]:
    """The values in a TOML file.

    Raises:
        UsageError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(path, "the file cannot be read", "check the path given to --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(path, f"not valid TOML ({error})", "correct that line") from error


def to_toml(config: Config, *, table: str = "") -> str:
    """The config as TOML that can be edited and read back; each key's description stands above it.

    Args:
        config: any config.
        table: name of the table that the text will stand in.
    """
    return "\n".join(_lines(config, table)) + "\n"


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _refuse_unknown(config: BaseModel, values: Mapping[str, Any], where: str, prefix: str) -> None:
    known = list(type(config).model_fields)
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            fix = f"did you mean {prefix}{near[0]}" if near else f"valid keys are {', '.join(known)}"
            raise UsageError(f"{where} {prefix}{key}", "there is no such key", fix)
        inner = getattr(config, key)
        if isinstance(inner, BaseModel):
            if not isinstance(value, Mapping):
                fix = f"name one of its keys, as in {prefix}{key}.{next(iter(type(inner).model_fields))}=..."
                raise UsageError(f"{where} {prefix}{key}", "this is a table, not a value", fix)
            _refuse_unknown(inner, cast("Mapping[str, Any]", value), where, f"{prefix}{key}.")


def _merge(base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in values.items():
        inside = isinstance(merged.get(key), dict) and isinstance(value, Mapping)
        merged[key] = _merge(merged[key], cast("Mapping[str, Any]", value)) if inside else value
    return merged


def _lines(config: BaseModel, table: str) -> Iterator[str]:
    tables: list[tuple[str, BaseModel]] = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            tables.append((f"{table}.{name}" if table else name, value))
            continue
        if field.description:
            yield f"# {field.description}"
        yield f"{name} = {_toml(value)}" if value is not None else f"# {name} = "
    for name, inner in tables:
        yield ""
        yield f"[{name}]"
        yield from _lines(inner, name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Sequence):
        return "[" + ", ".join(_toml(item) for item in cast("Sequence[Any]", value)) + "]"
    return repr(value)
