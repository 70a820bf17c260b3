"""`morula trace`: a stack becomes SWC files in micrometres and in voxels."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from commands import cli
from morula.core.errors import ResourceError, UsageError
from morula.core.tree import Tree
from morula.data import draw_tree, open_volume, read_swc, write_swc
from morula.workflows.app2 import app2
from morula.workflows.evaluate import evaluate
from morula.workflows.trace import TRACING

LINE = Tree.of([[5, 20, 4], [5, 20, 44]], [-1, 0])


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.tif"
    save(path, draw_tree(LINE, (10, 40, 50), least=2.0).astype(np.uint8))
    return path


def save(path: Path, stack: np.ndarray) -> None:
    tifffile.imwrite(path, stack, photometric="minisblack")


def test_a_mask_becomes_two_files(mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = mask.parent / "out"
    words = [mask, "--out", out, "--voxel-size", 3000, 500, 250, "--root", 5, 20, 44, "--json"]
    code, said, error = cli(capsys, "trace", *words)
    assert (code, error) == (0, "")
    voxels, physical = (read_swc(out / name).tree for name in ("trace.voxel.swc", "trace.swc"))
    np.testing.assert_allclose(physical.points, voxels.points * [3, 0.5, 0.25], atol=1e-5)
    assert voxels.points[0, 2] > 42
    assert json.loads(said)["length_um"] == pytest.approx(physical.length, abs=1e-3)
    assert cli(capsys, "trace", *words)[0] == 2
    assert cli(capsys, "trace", *words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "how large a voxel"),
        (["--voxel-size", "3000", "500", "250", "--root", "5", "20", "60"], 2, "outside the stack"),
        (["--voxel-size", "3000", "500", "250", "--root", "5", "20"], 2, "not a point"),
    ],
)
def test_what_is_missing_is_asked_for(
    words: list[str], code: int, told: str, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = cli(capsys, "trace", mask, "--out", mask.parent / "out", *words)
    assert found[0] == code
    assert told in found[2]
    assert "Fix:" in found[2]
    assert not (mask.parent / "out").exists()


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        (np.zeros((10, 40, 50), np.uint8), "no foreground"),
        (np.full((10, 40, 50), 200, np.float32), "floats from 200 to 200"),
        (np.ones((1, 40, 50), np.uint8), "1 section"),
    ],
)
def test_what_cannot_be_traced(
    stack: np.ndarray, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.tif", stack)
    code, _, error = cli(
        capsys, "trace", tmp_path / "a.tif", "--out", tmp_path / "out", "--voxel-size", 9, 9, 9
    )
    assert code == 3
    assert told in error
    assert "a.tif" in error


def test_a_root_far_from_all_foreground_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "mask.tif", np.pad(draw_tree(LINE, (10, 40, 50), least=2.0), ((0, 0), (60, 0), (0, 0))))
    words = [tmp_path / "mask.tif", "--out", tmp_path / "out", "--voxel-size", 3000, 500, 250, "--root"]
    code, _, error = cli(capsys, "trace", *words, 5, 9, 4)
    assert (code, "70 voxels from the nearest foreground" in error) == (2, True), error
    assert not (tmp_path / "out").exists()
    assert cli(capsys, "trace", *words, 5, 60, 4)[0] == 0


@pytest.mark.parametrize(("depth", "reach"), [(250, 59), (7500, 31)])
def test_a_gap_between_sections_is_as_wide_as_they_are_deep(
    tmp_path: Path, depth: int, reach: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = np.zeros((60, 24, 24), np.uint8)
    stack[:24, 10:13, 10:13] = stack[28:, 10:13, 10:13] = 1
    save(tmp_path / "mask.tif", stack)
    size = ["--voxel-size", depth, 250, 250]
    assert cli(capsys, "trace", tmp_path / "mask.tif", "--out", tmp_path / "out", *size)[0] == 0
    heights = read_swc(tmp_path / "out/trace.voxel.swc").tree.points[:, 0]
    assert np.ptp(heights) == pytest.approx(reach, abs=4)


SIZE = ("--voxel-size", 1000, 1000, 1000)
LONG = Tree.of([[10, 20, 8], [10, 20, 92]], [-1, 0])
OTHER = Tree.of([[10, 25, 8], [10, 25, 62]], [-1, 0])  # its tube touches that of LONG
BENT = Tree.of([[5, 8, 8], [7, 12, 50], [5, 6, 92]], [-1, 0, 1])


def tube(tree: Tree = LONG) -> np.ndarray:
    return draw_tree(tree, (20, 40, 100), least=2.5)


def test_specks_do_not_become_branches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = np.random.default_rng(0).integers(0, tube().shape, (150, 3))
    stack = tube().astype(np.uint8)
    stack[tuple(places.T)] = 1
    save(tmp_path / "a.tif", stack)
    lengths = {}
    for speck in ([], ["--speck", 0]):
        words = ["--out", tmp_path / "out", *SIZE, *speck, "--overwrite", "--json"]
        code, said, error = cli(capsys, "trace", tmp_path / "a.tif", *words)
        assert (code, error) == (0, "")
        lengths[len(speck)] = json.loads(said)["length_um"]
    assert lengths[0] == pytest.approx(LONG.length, abs=8)
    assert lengths[2] > 3 * lengths[0]
    save(tmp_path / "small.tif", (draw_tree(LINE, (10, 40, 50), least=1.0)).astype(np.uint8)[:, :, :20])
    assert cli(capsys, "trace", tmp_path / "small.tif", "--out", tmp_path / "small", *SIZE)[0] == 0


def test_the_options_are_those_of_the_tracing(
    mask: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def work(*_: object, **options: Any) -> None:
        asked.append(options["tracing"])
        raise SystemExit(0)

    monkeypatch.setattr("morula.workflows.trace.trace", work)
    cli(capsys, "trace", mask, "--out", mask.parent / "out")
    words = ["--threshold", 0.3, "--gap", 2, "--speck", 7, "--least-branch", 4]
    cli(capsys, "trace", mask, "--out", mask.parent / "out", *words)
    assert asked[0] == TRACING
    assert (asked[1].threshold, asked[1].weak, asked[1].gap) == (0.3, 0.15, 2.0)
    assert (asked[1].speck, asked[1].least_branch) == (7, 4.0)


def test_each_label_becomes_a_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.tif", np.where(tube(), 3, 7 * tube(OTHER)).astype(np.uint16))
    out, truths = tmp_path / "out", tmp_path / "truths"
    words = [tmp_path / "a.tif", "--out", out, *SIZE, "--json"]
    code, said, error = cli(capsys, "trace", *words)
    assert (code, error) == (0, "")
    found = json.loads(said)["labels"]
    assert list(found) == ["3", "7"]
    truths.mkdir()
    for label, tree in (("3", LONG), ("7", OTHER)):
        assert found[label]["length_um"] == pytest.approx(tree.length, abs=8)
        assert found[label]["out"] == str(out / label)
        write_swc(truths / f"{label}.swc", tree)
    scores = evaluate(out, truths, kind="swc")["images"]
    assert min(scores[label]["f1_2"] for label in found) > 0.9
    assert cli(capsys, "trace", *words)[0] == 2
    assert cli(capsys, "trace", *words, "--overwrite")[0] == 0
    told = cli(capsys, "trace", *words, "--overwrite", "--root", 10, 20, 8)[2]
    assert "one root for 2 labels" in told
    assert "--label ID" in told


def test_one_label_is_traced_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.tif", np.where(tube(), 3, 7 * tube(OTHER)).astype(np.uint8))
    words = [tmp_path / "a.tif", "--out", tmp_path / "out", *SIZE]
    code, _, error = cli(capsys, "trace", *words, "--label", 5)
    assert (code, "its labels are 3, 7" in error) == (2, True), error
    assert cli(capsys, "trace", *words, "--label", 7, "--root", 10, 25, 60)[0] == 0
    tree = read_swc(tmp_path / "out/trace.voxel.swc").tree
    assert np.ptp(tree.points[:, 2]) == pytest.approx(OTHER.length, abs=6)
    save(tmp_path / "map.tif", tube().astype(np.float32))
    words[0] = tmp_path / "map.tif"
    assert "holds floats" in cli(capsys, "trace", *words, "--label", 7, "--overwrite")[2]


def noisy(peak: int, noise: int, dtype: type) -> np.ndarray:
    return np.where(tube(), peak, np.random.default_rng(1).integers(0, noise, tube().shape)).astype(dtype)


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        (noisy(250, 20, np.uint8), "whole numbers from 1 to 250"),
        (noisy(60000, 500, np.uint16), "whole numbers from 1 to 60000"),
        (np.where(tube(), noisy(250, 20, np.uint8) - np.arange(100) % 3, 0).astype(np.uint8), "250 in"),
        (np.where(tube(), 200, 1).astype(np.uint8), "1 to 200 in 100%"),
        (np.where(tube(), -1, tube(OTHER)).astype(np.int16), "from -1 to 1"),
    ],
    ids=["8 bit", "16 bit", "nothing but the neuron", "background of one value", "below 0"],
)
def test_grey_values_are_no_mask(
    stack: np.ndarray, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.tif", stack)
    code, _, error = cli(capsys, "trace", tmp_path / "a.tif", "--out", tmp_path / "out", *SIZE)
    assert (code, told in error) == (3, True), error
    assert "floats from 0 to 1 (8 bit: divided by 255)" in error
    assert not (tmp_path / "out").exists()


STAND_IN = """#!{python}
import json, pathlib, shutil, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
after = dict(zip(words, words[1:]))
shutil.copy(after["-i"], here / "seen.v3draw")
if after["-p"] != "NULL":
    shutil.copy(after["-p"], here / "seen.marker")
(here / "words.json").write_text(json.dumps(words))
if (here / "known.swc").exists():
    shutil.copy(here / "known.swc", after["-o"])
print("start tracing")
print("no cell body")
sys.exit(1)
"""


@pytest.fixture
def vaa3d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a program that takes the words of Vaa3D and leaves `known.swc`, if it is there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    program = folder / "vaa3d"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_app2_traces_the_same_map(vaa3d: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    likely = 0.8 * tube().astype(np.float32)
    save(tmp_path / "a.tif", likely)
    write_swc(vaa3d / "known.swc", LONG)
    out = tmp_path / "out"
    words = [tmp_path / "a.tif", "--out", out, "--voxel-size", 2000, 1000, 1000, "--app2", "vaa3d"]
    code, said, error = cli(capsys, "trace", *words, "--root", 10, 20, 8, "--json")
    assert (code, error) == (0, "")
    told = json.loads(said)["app2"]
    assert (told["nodes"], told["length_um"]) == (2, LONG.length)
    assert told["f1_4"] > 0.95
    np.testing.assert_allclose(read_swc(out / "app2/trace.swc").tree.points, LONG.points * [2, 1, 1])
    np.testing.assert_allclose(read_swc(out / "app2/trace.voxel.swc").tree.points, LONG.points)
    np.testing.assert_array_equal(open_volume(vaa3d / "seen.v3draw").read(), np.round(255 * likely))
    asked = json.loads((vaa3d / "words.json").read_text())
    assert asked[:4] == ["-x", "vn2", "-f", "app2"]
    assert asked[asked.index("-p") + 2 :] == ["0", "127", "0", "1", "0", "0", "5", "0"]
    assert (vaa3d / "seen.marker").read_text() == "9,21,11,1\n"  # x, y, z from 1
    code, said, _ = cli(capsys, "trace", *words, "--overwrite")
    assert code == 0
    assert "APP2: 2 nodes" in said
    assert json.loads((vaa3d / "words.json").read_text())[9] == "NULL"
    assert cli(capsys, "trace", *words[:-2], "--overwrite")[0] == 0
    assert not (out / "app2/trace.swc").exists()  # of another tracing


def test_app2_gets_the_threshold(vaa3d: Path) -> None:
    write_swc(vaa3d / "known.swc", LONG)
    for threshold, background in ((0.5, "127"), (1.0, "254"), (0.2, "50"), (0.001, "0")):
        app2(str(vaa3d / "vaa3d"), tube(), threshold=threshold)
        assert json.loads((vaa3d / "words.json").read_text())[11] == background


def test_a_program_that_hangs_or_cannot_start_is_told(vaa3d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = vaa3d / "vaa3d"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr("morula.workflows.app2.LIMIT", 0.2)
    with pytest.raises(ResourceError, match="not done after"):
        app2(str(program), tube())
    program.write_text("#!/no/such/interpreter\n")
    with pytest.raises(UsageError, match="cannot be run"):
        app2(str(program), tube())


def test_app2_traces_each_label_where_it_lies(
    vaa3d: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.tif", np.where(tube(), 3, 7 * tube(OTHER)).astype(np.uint8))
    write_swc(vaa3d / "known.swc", Tree.of([[2, 2, 2], [2, 2, 56]], [-1, 0]))  # OTHER in its box
    words = [tmp_path / "a.tif", "--out", tmp_path / "out", *SIZE, "--app2", vaa3d / "vaa3d"]
    code, said, error = cli(capsys, "trace", *words, "--json")
    assert (code, error) == (0, "")
    assert json.loads(said)["labels"]["7"]["app2"]["f1_4"] > 0.95
    first = read_swc(tmp_path / "out/7/app2/trace.voxel.swc").tree.points[0]
    np.testing.assert_allclose(first, OTHER.points[0], atol=1.5)


@pytest.mark.parametrize(
    ("known", "program", "code", "told"),
    [
        (None, "vaa3d-x", 2, "there is no program vaa3d-x"),
        (None, "vaa3d", 3, "APP2 left no trace; it last said 'no cell body'"),
        (BENT.scaled((1, -1, 1)).moved((0, 39, 0)), "vaa3d", 3, "mirrored along y"),
    ],
    ids=["no program", "no trace", "mirrored"],
)
def test_what_app2_leaves_undone_is_told(
    known: Tree | None,
    program: str,
    code: int,
    told: str,
    vaa3d: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(tmp_path / "a.tif", tube(BENT).astype(np.uint8))
    if known is not None:
        write_swc(vaa3d / "known.swc", known)
    words = ["--out", tmp_path / "out", *SIZE, "--app2", program]
    found, _, error = cli(capsys, "trace", tmp_path / "a.tif", *words)
    assert (found, told in error) == (code, True), error
