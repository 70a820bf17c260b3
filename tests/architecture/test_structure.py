"""The house rules that a reader should be able to rely on, held by the machine."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "morula").rglob("*.py"))
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
GLOBAL_RANDOM = {
    "seed",
    "rand",
    "randn",
    "randint",
    "random",
    "choice",
    "shuffle",
    "permutation",
    "normal",
    "uniform",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTION))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_file_is_short_and_its_functions_fit_on_a_screen(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert [f.name for f in functions(ast.parse(text)) if body_lines(f) > 60] == []


def test_a_recipe_reads_like_an_algorithm_box() -> None:
    recipes = [path for path in SOURCES if path.name == "recipe.py"]
    assert recipes
    assert [path for path in recipes if len(path.read_text(encoding="utf-8").splitlines()) > 350] == []


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_what_a_module_exports_is_there(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    names = getattr(module, "__all__", [])
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_what_a_module_takes_from_another_is_exported_there(path: Path) -> None:
    modules, hidden = {module_name(each) for each in SOURCES}, list[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("morula"):
            names = {alias.name for alias in node.names if f"{node.module}.{alias.name}" not in modules}
            exported = getattr(importlib.import_module(str(node.module)), "__all__", ())
            hidden += names - set(exported)
    assert hidden == []


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_function_assigns_to_its_module_and_no_random_state_is_global(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)] == []
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Attribute):
            assert not (ast.unparse(call.value) == "np.random" and call.attr in GLOBAL_RANDOM)
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
            assert not (call.value.id == "random" and call.attr in GLOBAL_RANDOM)


def test_no_file_keeps_the_marks_of_a_merge() -> None:
    texts = [ROOT / name for name in ("src", "tests", "benchmarks", "docs")]
    pages = [*ROOT.glob("*.md"), *(path for folder in texts for path in folder.rglob("*.md")), *SOURCES]
    marks = tuple(sign * 7 + " " for sign in "<>|")
    assert [
        path
        for path in pages
        if any(line.startswith(marks) for line in path.read_text(encoding="utf-8").splitlines())
    ] == []


def test_there_are_no_drawers_for_odds_and_ends() -> None:
    assert [path for path in SOURCES if path.stem in {"utils", "helpers", "common", "manager", "misc"}] == []


def test_dependencies_point_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["pyright"]])
def test_the_code_is_clean(command: list[str]) -> None:
    program = str(Path(sys.executable).with_name(command[0]))
    found = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_public_package_needs_no_torch_until_it_is_used() -> None:
    code = "import sys, morula, morula.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
