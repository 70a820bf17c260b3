"""SWC and ESWC: traced neurons as text, one node a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from morula.core.errors import DataError
from morula.core.files import write_text
from morula.core.tree import Tree
from morula.core.types import Array
from morula.data.reading import check_file

__all__ = ["SUFFIXES", "SwcFile", "read_swc", "write_swc"]

SUFFIXES = (".swc", ".eswc")

_COLUMNS = 7
_HEADER = "# id type x y z radius parent"
_LARGEST = 2**53  # whole numbers up to it are told apart as floats
_LINE_END = re.compile(r"\r\n|\r|\n")  # Python's own splitlines parts comments at a form feed, too
_DECIMAL_COMMA, _SPACED = re.compile(r"\d,\d"), re.compile(r"[^,\s]\s+[^,\s]")


class SwcFile(NamedTuple):
    """What an SWC file holds.

    Attributes:
        tree: its nodes; points z, y, x in the file's unit.
        repairs: what was wrong and mended, one sentence each, with the line.
        lines: of each node, counted from 1.
    """

    tree: Tree
    repairs: tuple[str, ...]
    lines: tuple[int, ...]


@dataclass(frozen=True)
class _Node:
    line: int
    name: int
    kind: int
    x: float
    y: float
    z: float
    radius: float
    parent: int

    @property
    def content(self) -> tuple[float, ...]:
        return self.kind, self.x, self.y, self.z, self.radius, self.parent


def read_swc(path: Path, *, empty: bool = False) -> SwcFile:
    """Reads a traced neuron.

    Ids need not be consecutive or sorted, there may be several roots, columns may be separated by white space
    or commas, and what ESWC adds behind the seventh column is left out. Mended, and reported: a line that
    comes twice, a parent that is not in the file or the node itself (the node becomes a root), a negative
    radius (becomes 0).

    Args:
        path: the file.
        empty: whether a file without nodes will do, as of a stack in which no neuron was found.

    Returns:
        The tree, parents before children, and the repairs.

    Raises:
        DataError: not readable, no node in it, or, with the line number: a line that is no node, one id for
            two different nodes, a cycle, or decimal commas between columns that white space separates.
    """
    check_file(path, "SWC")
    repairs: list[str] = []
    nodes = _distinct(path, _nodes(path), repairs)
    if not nodes and empty:
        return SwcFile(Tree.of([], []), (), ())
    if not nodes:
        raise DataError(path, "there is no node in it", "export the tracing again as SWC")
    rows = {node.name: row for row, node in enumerate(nodes)}
    parents = [_parent_row(node, rows, repairs) for node in nodes]
    order = _parents_first(path, nodes, parents)
    place = {row: number for number, row in enumerate(order)}
    radii = [_radius(nodes[row], repairs) for row in order]
    tree = Tree.of(
        [(nodes[row].z, nodes[row].y, nodes[row].x) for row in order],
        [-1 if parents[row] < 0 else place[parents[row]] for row in order],
        radii,
        [nodes[row].kind for row in order],
    )
    return SwcFile(tree, tuple(repairs), tuple(nodes[row].line for row in order))


def write_swc(path: Path, tree: Tree, *, comments: Sequence[str] = ()) -> None:
    """Writes a tree, ids from 1, parents before children, whole or not at all.

    A name that ends in `.eswc` gets the columns of ESWC too: the number of the unbranched segment, its level
    (how many branch points lie between it and the root), and zeros for mode, time and index.

    Args:
        path: the file, replaced if it is there.
        tree: points z, y, x in the unit that the file shall have.
        comments: lines for the head, without `#`; say the unit there.

    Raises:
        DataError: no permission to write.
        ResourceError: the disk is full.
    """
    extended = path.suffix.lower() == ".eswc"
    head = _HEADER + (" segment level mode timestamp index" if extended else "")
    lines = [*(f"# {text}" for text in comments), head]
    extra = [f" {segment} {level} 0 0 0" for segment, level in _segments(tree)] if extended else None
    for row, (z, y, x) in enumerate(tree.points.tolist()):
        parent = int(tree.parent[row])
        text = f"{row + 1} {tree.kind[row]} {_number(x)} {_number(y)} {_number(z)} "
        text += f"{_number(tree.radius[row])} {parent + 1 if parent >= 0 else -1}"
        lines.append(text + (extra[row] if extra else ""))
    write_text(path, "\n".join(lines) + "\n")


def _nodes(path: Path) -> list[_Node]:
    found: list[_Node] = []
    content = path.read_bytes()
    if b"\0" in content[:4096]:
        raise DataError(path, "this is a binary file, not SWC text", "name the .swc file of the tracing")
    for number, line in enumerate(_LINE_END.split(content.decode("utf-8-sig", errors="replace")), 1):
        text = line.partition("#")[0].strip()
        if _DECIMAL_COMMA.search(text) and _SPACED.search(text):
            told = f"line {number} has commas inside of numbers: {text[:60]!r}"
            raise DataError(path, told, "write decimals with points, or columns all with commas")
        words = text.replace(",", " ").split()
        if words:
            found.append(_node(path, number, line, words))
    return found


def _node(path: Path, number: int, line: str, words: Sequence[str]) -> _Node:
    try:
        name, kind, x, y, z, radius, parent = (float(word) for word in words[:_COLUMNS])
    except ValueError as error:
        found = f"line {number} is no node: {line.strip()[:60]!r}"
        raise DataError(path, found, "give it the columns id type x y z radius parent") from error
    whole = all(value.is_integer() and abs(value) < _LARGEST for value in (name, kind, parent))
    if not (whole and np.isfinite((x, y, z)).all()):
        found = f"line {number} has an id, a type or a parent that is no whole number below {_LARGEST:,}, "
        found += "or a position that is not finite"
        raise DataError(path, f"{found}: {line.strip()[:60]!r}", "correct that line")
    return _Node(number, int(name), int(kind), x, y, z, radius, int(parent))


def _distinct(path: Path, nodes: Sequence[_Node], repairs: list[str]) -> list[_Node]:
    """One node an id; a second one that says the same is left out."""
    first: dict[int, _Node] = {}
    for node in nodes:
        other = first.setdefault(node.name, node)
        if other is node:
            continue
        if other.content != node.content:
            found = f"line {node.line} uses id {node.name} again for another node than line {other.line}"
            raise DataError(path, found, "give every node an id of its own")
        repairs.append(f"Line {node.line} repeats line {other.line} and was left out.")
    return list(first.values())


def _parent_row(node: _Node, rows: dict[int, int], repairs: list[str]) -> int:
    if node.parent == node.name:
        repairs.append(f"Node {node.name} in line {node.line} is its own parent; it became a root.")
        return -1
    if node.parent < 0 or (node.parent == 0 and 0 not in rows):
        return -1
    if node.parent not in rows:
        told = f"Parent {node.parent} of node {node.name} in line {node.line} is not in the file"
        repairs.append(f"{told}; the node became a root.")
        return -1
    return rows[node.parent]


def _parents_first(path: Path, nodes: Sequence[_Node], parents: Sequence[int]) -> list[int]:
    """Rows in the file's order where it is sound, else level by level from the roots.

    Raises:
        DataError: some nodes hang from no root, because their parents form a cycle.
    """
    if all(parent < row for row, parent in enumerate(parents)):
        return list(range(len(nodes)))
    children: list[list[int]] = [[] for _ in nodes]
    for row, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(row)
    order = [row for row, parent in enumerate(parents) if parent < 0]
    for row in order:
        order.extend(children[row])
    if len(order) < len(nodes):
        node = nodes[_on_cycle(parents, set(order))]
        found = f"node {node.name} in line {node.line} is an ancestor of itself (a cycle)"
        raise DataError(path, found, "give one node of the cycle the parent -1")
    return order


def _on_cycle(parents: Sequence[int], reached: set[int]) -> int:
    row = next(row for row in range(len(parents)) if row not in reached)
    seen: set[int] = set()
    while row not in seen:
        seen.add(row)
        row = parents[row]
    return row


def _radius(node: _Node, repairs: list[str]) -> float:
    if node.radius >= 0 and np.isfinite(node.radius):
        return node.radius
    repairs.append(f"The radius {node.radius:g} in line {node.line} became 0.")
    return 0.0


def _segments(tree: Tree) -> list[tuple[int, int]]:
    """Number and level of the unbranched segment of each node."""
    degree: Array = tree.degree
    found: list[tuple[int, int]] = []
    count = 0
    for parent in tree.parent.tolist():
        if parent >= 0 and degree[parent] == 1:
            found.append(found[parent])
            continue
        level = 0 if parent < 0 else found[parent][1] + 1
        found.append((count, level))
        count += 1
    return found


def _number(value: float) -> str:
    """At most six decimals, without trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
