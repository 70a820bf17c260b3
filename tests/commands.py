"""The command line as a test calls it: words in; exit code and what was told out."""

from __future__ import annotations

import pytest

from morula.cli.main import main

__all__ = ["cli"]


def cli(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `morula WORDS`."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err
