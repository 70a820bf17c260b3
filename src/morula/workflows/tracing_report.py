"""What a report shows of a traced neuron: projections with the tree, and where it differs from the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from morula.core.tree import Tree
from morula.core.types import Array, Volume
from morula.data import read_swc
from morula.data.branches import BRANCHES
from morula.metrics import distances_to_tree
from morula.report import Overlay, Table, draw_segments, projection
from morula.workflows.tracing import pixel_widths

__all__ = ["LEARNED_FROM", "MEASURES", "branch_tables", "has_trace", "neuron_table", "trace_overlays"]

MEASURES = {
    "f1_4": "length of the trace within 4 pixel widths of the true one and the other way, harmonic mean",
    "precision_4": "share of the trace that is near the true one",
    "recall_4": "share of the true trace that was found",
    "f1_2": "the same as f1_4 within 2 pixel widths",
    "esa": "mean distance to the other tree in pixel widths, both ways, 0 is perfect (Vaa3D)",
    "dsa": "the same over the parts that are 2 or more away",
    "pds": "share of the trees that is 2 or more away from the other, 0 is perfect",
    "diadem": "share of the true branch points and tips that are there and connected as in the truth, "
    "with the tolerances of the olfactory fibres",
    "cldice": "share of the centre lines of mask and true trace that lies in the other, harmonic mean",
    "hd95": "distance of the surfaces of mask and true trace in pixel widths, 95 % quantile, 0 is perfect",
}

LEARNED_FROM = (
    "The scores are of the stacks that the network learned from: they tell how well it fits their traces, "
    "not how well it does on new ones. Keep traced stacks aside and use `morula evaluate --kind swc`."
)

_BOTH, _EXTRA, _MISSED = (0, 214, 160), (255, 112, 31), (255, 80, 200)
_NEAR = 4.0  # pixel widths
_VIEWS = ("from above", "from the front, z down", "from the side, z down")


def has_trace(folder: Path) -> bool:
    """Whether a prediction holds a traced neuron."""
    return (folder / "trace.voxel.swc").exists()


def neuron_table(folders: Sequence[Path]) -> Table:
    """How large each traced neuron is, by the folders of their predictions; no rows where there are none.

    A branch leads from the root or a branch point to the next one, or to a tip.
    """
    rows: list[tuple[str | int | float, ...]] = []
    for folder in folders:
        tree = read_swc(folder / "trace.swc", empty=True).tree
        starts = np.union1d(tree.roots, tree.branch_points)
        counts = len(tree), int(tree.degree[starts].sum()), len(tree.tips)
        radius = float(tree.radius.mean()) if len(tree) else 0.0
        rows.append((folder.name, *counts, round(tree.length, 1), round(radius, 2)))
    return Table(("stack", "nodes", "branches", "tips", "length (µm)", "mean radius (µm)"), tuple(rows))


def branch_tables(folders: Sequence[Path], beside: Path) -> dict[str, str]:
    """Names of stacks, by the folders of their predictions, and where their branches are from `beside`."""
    return {
        folder.name: quote(Path(relpath(folder / BRANCHES, beside)).as_posix())
        for folder in folders
        if (folder / BRANCHES).exists()
    }


def trace_overlays(
    name: str, image: Volume, folder: Path, truth: Path | None, role: Any, score: float, measure: str
) -> Iterator[Overlay]:
    """Three projections of a stack with the tree over them.

    Args:
        name: of the stack.
        image: the stack.
        folder: its prediction.
        truth: SWC file with the true tree in voxels, where there is one; it need not be there.
        role: why the stack is shown.
        score: what is told beside it.
        measure: what the score is.
    """
    stack, tree = image.read(), read_swc(folder / "trace.voxel.swc", empty=True).tree
    known = read_swc(truth).tree if truth is not None and truth.exists() else None
    scale = pixel_widths(image.voxel)
    lines = _lines(tree, known, scale)
    size = image.voxel
    assert size is not None
    length = tree.scaled(scale).length * size.x / 1000
    counts = (
        f"{len(tree)} nodes, {len(tree.tips)} tips, {len(tree.branch_points)} branch points, {length:.0f} µm"
    )
    key = "orange: only in the trace; pink: only in the true one; green: in both" if known else "the trace"
    for axis, view in enumerate(_VIEWS):
        plain = projection(stack, axis, depth=scale[0])
        yield Overlay(
            f"{name}, {view}",
            draw_segments(plain, lines, axis, depth=scale[0]),
            caption=f"{counts}; {key}",
            role=role,
            score=score,
            measure=measure,
            original=plain,
            width_um=size.x * plain.shape[1] / 1000 if axis < 2 else size.y * plain.shape[1] / 1000,
        )


def _lines(
    tree: Tree, truth: Tree | None, scale: tuple[float, float, float]
) -> list[tuple[Array, tuple[int, int, int]]]:
    if truth is None:
        return [(_segments(tree), _EXTRA)]
    ours, theirs = _segments(tree), _segments(truth)
    extra = distances_to_tree(ours.mean(axis=1) * scale, truth.scaled(scale)) > _NEAR
    missed = distances_to_tree(theirs.mean(axis=1) * scale, tree.scaled(scale)) > _NEAR
    return [(ours[~extra], _BOTH), (ours[extra], _EXTRA), (theirs[missed], _MISSED)]


def _segments(tree: Tree) -> Array:
    """`(n, 2, 3)` both ends of every edge."""
    return tree.points[tree.edges] if len(tree.edges) else np.zeros((0, 2, 3))
