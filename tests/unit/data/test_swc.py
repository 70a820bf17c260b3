"""SWC: what is written comes back, what is wrong is mended or refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.data.swc import read_swc, write_swc


def swc(folder: Path, text: str, name: str = "a.swc") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_columns_and_axes(tmp_path: Path) -> None:
    tree, repairs, _ = read_swc(
        swc(tmp_path, "# made by hand\n\n1 1 10 20 30 2.5 -1\n2 3 11 21 31 0.5 1 # tip\n")
    )
    assert tree.points.tolist() == [[30, 20, 10], [31, 21, 11]]
    assert tree.radius.tolist() == [2.5, 0.5]
    assert tree.kind.tolist() == [1, 3]
    assert tree.parent.tolist() == [-1, 0]
    assert repairs == ()


@pytest.mark.parametrize("sign", ["\f", "\x1c", "\x85", "\u2028"])
def test_only_ends_of_lines_end_a_line(sign: str, tmp_path: Path) -> None:
    path = tmp_path / "a.swc"
    path.write_bytes(f"# traced by{sign}hand\r\n1 1 1 2 3 1 -1\r2 1 1 2 4 1 1\nbad".encode())
    with pytest.raises(DataError, match="line 4 is no node: 'bad'"):
        read_swc(path)


def test_ids_in_any_order_several_roots_commas_and_extra_columns(tmp_path: Path) -> None:
    text = "9,2,3,0,0,1,7,0,1\n7,2,2,0,0,1,100,0,1\n100,2,1,0,0,1,-1,0,0\n4,2,8,0,0,1,-1,0,0\n"
    tree, repairs, _ = read_swc(swc(tmp_path, text, "a.eswc"))
    assert repairs == ()
    assert len(tree.roots) == 2
    chain = {tuple(tree.points[child]): tuple(tree.points[parent]) for child, parent in tree.edges}
    assert chain == {(0, 0, 3): (0, 0, 2), (0, 0, 2): (0, 0, 1)}


@pytest.mark.parametrize("separator", [",", ", ", " , ", "\t", " "])
def test_columns_are_separated_one_way(separator: str, tmp_path: Path) -> None:
    text = separator.join(["1", "2", "10.5", "20", "30", "2.5", "-1"])
    assert read_swc(swc(tmp_path, f" {text} # 1,5 of it\n")).tree.points.tolist() == [[30, 20, 10.5]]


@pytest.mark.parametrize(
    ("text", "told", "parents"),
    [
        ("1 0 0 0 0 1 -1\n2 0 1 0 0 1 1\n2 0 1 0 0 1 1\n", "Line 3 repeats line 2", [-1, 0]),
        ("1 0 0 0 0 1 -1\n2 0 1 0 0 1 8\n", "Parent 8 of node 2 in line 2", [-1, -1]),
        ("1 0 0 0 0 1 1\n2 0 1 0 0 1 1\n", "Node 1 in line 1 is its own parent", [-1, 0]),
        ("1 0 0 0 0 -3 -1\n", "The radius -3 in line 1", [-1]),
    ],
)
def test_mended(text: str, told: str, parents: list[int], tmp_path: Path) -> None:
    tree, (repair,), _ = read_swc(swc(tmp_path, text))
    assert repair.startswith(told)
    assert tree.parent.tolist() == parents
    assert (tree.radius >= 0).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("# nothing\n", "no node"),
        ("1 0 0 0 0 1 -1\n2 0 1 0 0\n", "line 2 is no node"),
        ("1 0 0 0 0 1 -1\nnode 0 1 0 0 1 1\n", "line 2 is no node"),
        ("1 0 0 0 nan 1 -1\n", "line 1 .* not finite"),
        ("1.5 0 0 0 0 1 -1\n", "line 1 .* no whole number"),
        ("1e20 0 0 0 0 1 -1\n", "line 1 .* no whole number below"),
        ("1 1e20 0 0 0 1 -1\n", "line 1 .* no whole number below"),
        ("1 0 0 0 0 1 -1\n2 0 1 0 0 1 -1e20\n", "line 2 .* no whole number below"),
        ("1 0 0 0 0 1 -1\n1 0 5 0 0 1 -1\n", "line 2 uses id 1 again .* line 1"),
        ("1 0 0 0 0 1 -1\n2 0 0 0 0 1 3\n3 0 0 0 0 1 4\n4 0 0 0 0 1 3\n", "node 3 in line 3 .*cycle"),
        ("1 0 0 0 0 1 -1\n2 0 1,5 0,25 0 1 1\n", "line 2 has commas inside of numbers"),
        ("II*\0\0\0", "binary"),
    ],
)
def test_refused_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    path = swc(tmp_path, text)
    with pytest.raises(DataError, match=told) as caught:
        read_swc(path)
    assert path.name in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_swc(tmp_path / "nowhere.swc")


@given(st.data())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    parents = [data.draw(st.integers(-1, row - 1)) for row in range(count)]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    tree = Tree.of(
        rng.uniform(-9, 999, (count, 3)), parents, rng.uniform(0, 9, count), rng.integers(0, 5, count)
    )
    name = data.draw(st.sampled_from(["a.swc", "a.eswc"]))
    path = tmp_path_factory.mktemp("swc") / name
    write_swc(path, tree, comments=["lengths are voxels"])
    back, repairs, _ = read_swc(path)
    assert repairs == ()
    np.testing.assert_allclose(back.points, tree.points, atol=1e-6)
    np.testing.assert_allclose(back.radius, tree.radius, atol=1e-6)
    assert back.parent.tolist() == tree.parent.tolist()
    assert back.kind.tolist() == tree.kind.tolist()


def test_segments_and_levels_of_eswc(tmp_path: Path) -> None:
    forked = Tree.of([[0, 0, row] for row in range(5)], [-1, 0, 1, 1, 3])
    write_swc(tmp_path / "a.eswc", forked)
    rows = [line.split()[7:9] for line in (tmp_path / "a.eswc").read_text().splitlines() if line[0] != "#"]
    assert rows == [["0", "0"], ["0", "0"], ["1", "1"], ["2", "1"], ["2", "1"]]
