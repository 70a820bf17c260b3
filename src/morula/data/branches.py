"""The branches of a traced neuron as a table: one row a branch, for spreadsheets."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from morula.core.files import atomic_path
from morula.core.tree import Tree

__all__ = ["BRANCHES", "COLUMNS", "branch_rows", "write_branches"]

BRANCHES = "branches.csv"
COLUMNS = ("branch", "parent", "start", "end", "nodes", "length_um", "mean_radius_um")

Row = tuple[int, int, str, str, int, float, float]


def write_branches(path: Path, tree: Tree) -> None:
    """Writes `branch_rows` under the names `COLUMNS`, whole or not at all.

    Args:
        path: the file, replaced if it is there.
        tree: in micrometres.

    Raises:
        DataError: no permission to write.
        ResourceError: the disk is full.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*row[:5], *(round(value, 6) for value in row[5:])) for row in branch_rows(tree))


def branch_rows(tree: Tree) -> list[Row]:
    """What leads from a root or a branch point to the next branch point, or to a tip.

    Returns:
        For each branch, parents first: its number, from 1; that of the branch it leaves, -1 at a root; how it
        starts (`root`, `branch point`) and ends (`branch point`, `tip`); its nodes, length and mean radius in
        the unit of the tree. The node where it starts is none of its nodes, for others start there, too.

    >>> fork = Tree.of([[0, 0, 0], [0, 0, 4], [0, 3, 4], [5, 0, 4]], [-1, 0, 1, 1], [9, 1, 1, 2])
    >>> for row in branch_rows(fork): print(*row)
    1 -1 root branch point 1 4.0 1.0
    2 1 branch point tip 1 3.0 1.0
    3 1 branch point tip 1 5.0 2.0
    """
    degree, above = tree.degree.tolist(), tree.parent.tolist()
    number, first, last = np.zeros(len(tree), np.intp), list[int](), list[int]()
    for row, parent in enumerate(above):
        if parent < 0:
            continue
        if above[parent] < 0 or degree[parent] > 1:
            first.append(row)
            last.append(row)
        number[row] = len(first) if first and first[-1] == row else number[parent]
        last[number[row] - 1] = row
    child, parent = tree.edges.T
    count, edges = len(first) + 1, np.linalg.norm(tree.points[child] - tree.points[parent], axis=1)
    lengths = np.bincount(number[child], edges, minlength=count)[1:]
    nodes = np.bincount(number[child], minlength=count)[1:]
    radii = np.bincount(number[child], tree.radius[child], minlength=count)[1:] / np.maximum(nodes, 1)
    return [
        (
            place + 1,
            int(number[above[begin]]) or -1,
            "root" if above[above[begin]] < 0 else "branch point",
            "tip" if degree[end] == 0 else "branch point",
            int(nodes[place]),
            float(lengths[place]),
            float(radii[place]),
        )
        for place, (begin, end) in enumerate(zip(first, last, strict=True))
    ]
