from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from morula.core.config import Config, from_toml, override, parse_assignments, to_toml
from morula.core.errors import UsageError


class Optim(Config):
    lr: float = Field(0.1, gt=0, description="learning rate")
    steps: int = 10


class Toy(Config):
    name: str = 'say "hi"'
    scales: tuple[float, ...] = (1.0, 2.0)
    fast: bool = False
    limit: int | None = None
    optim: Optim = Optim()


def test_nested_values_are_overridden_and_typed() -> None:
    changed = override(Toy(), parse_assignments(["optim.lr=3e-4", "fast=true", "name=cells", "scales=[0.5]"]))
    assert changed == Toy(name="cells", fast=True, scales=(0.5,), optim=Optim(lr=3e-4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim.lrr=1", r"--set optim\.lrr: there is no such key\. Fix: did you mean optim\.lr\."),
        ("zzz=1", r"valid keys are name, scales, fast, limit, optim"),
        ("optim=1", r"this is a table, not a value"),
        ("optim.lr=-1", r"--set optim\.lr: input should be greater than 0 \(found -1\)"),
        ("optim.steps=many", r"--set optim\.steps: input should be a valid integer"),
        ("novalue", r"there is no '='"),
    ],
)
def test_a_wrong_key_or_value_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(Toy(), parse_assignments([text]))


def test_a_value_and_a_key_in_it_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--set optim\.lr=2: optim was given a value before"):
        parse_assignments(["optim=3", "optim.lr=2"])
    assert parse_assignments(["optim={steps=1}", "optim.lr=2"]) == {"optim": {"steps": 1, "lr": 2}}


def test_a_config_written_as_toml_reads_back_equal() -> None:
    text = to_toml(Toy())
    assert "# learning rate\nlr = 0.1" in text
    assert override(Toy(), tomllib.loads(text)) == Toy()


def test_a_config_cannot_change() -> None:
    with pytest.raises(ValidationError):
        Toy().fast = True  # type: ignore[misc]


def test_a_broken_toml_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("lr = = 1")
    with pytest.raises(UsageError, match=r"a\.toml: not valid TOML"):
        from_toml(tmp_path / "a.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        from_toml(tmp_path / "none.toml")
