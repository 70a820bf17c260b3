"""What a script can ask of every verb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from commands import cli
from morula.cli.options import rank
from morula.cli.verbs import app


def verbs(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_every_verb_that_ends_prints_its_result_as_json() -> None:
    found = dict(verbs(typer.main.get_command(app)))
    assert {"run", "report", "view3d", "data list"} < set(found)
    silent = [name for name, verb in found.items() if not any("--json" in each.opts for each in verb.params)]
    assert silent == ["view"]


@pytest.mark.parametrize(("verb", "key"), [("report", "report"), ("view3d", "page")])
def test_a_page_is_told_as_json(
    verb: str, key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"morula.workflows.{verb}.{verb}", lambda *_, **__: Path("page.html"))
    code, text, err = cli(capsys, verb, "somewhere", "--json", "-q")
    assert code == 0, err
    assert json.loads(text) == {key: "page.html"}


def test_every_process_that_works_alone_prints_and_of_a_training_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morula.workflows.train.train", lambda *_, **__: Path("run"))
    monkeypatch.setenv("RANK", "abc")
    for process, verb, printed in (
        ("1", ["data", "list"], True),
        ("1", ["train", "images"], True),
        ("0", ["train", "images", "--devices", "2"], True),
        ("1", ["train", "images", "--devices", "2"], False),
    ):
        monkeypatch.setenv("SLURM_PROCID", process)
        code, text, err = cli(capsys, *verb, "--json")
        assert (code, bool(text)) == (0, printed), err


def test_what_fabric_says_of_a_process_goes_before_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("SLURM_PROCID", "0")  # of the shell of an interactive job
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert rank() == 1
