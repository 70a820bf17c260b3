"""A predicted and a true trace from their files, in one unit, and what has to be known of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import open_volume, predicted_labels, read_swc
from morula.data.traced import from_micrometres, named_repairs, trace_inside, trees_inside
from morula.data.traces import IN_VOXELS
from morula.data.volumes import as_stack
from morula.metrics import tolerance_scores
from morula.workflows.tracing import mended

__all__ = ["TracePair", "read_pair"]

_NEAR = 4.0  # voxels between traces that run together
_BETTER = 1.5  # times more of two traces must run together in micrometres than in voxels
_SAME = 0.5  # F1 from which two traces are certainly of one neuron


class TracePair(NamedTuple):
    """Two traces to be compared.

    Attributes:
        pred: the predicted tree.
        truth: the true one, in the same unit.
        voxel: size of a voxel in nm: the one given, or what the labels beside the prediction say.
        doubts: what was mended in the files, and what of the truth DIADEM leaves out; sentences.
    """

    pred: Tree
    truth: Tree
    voxel: Voxel | None
    doubts: tuple[str, ...]


def read_pair(pred: Path, truth: Path, voxel: Voxel | None) -> TracePair:
    """Reads both traces.

    Where the labels of a stack lie beside a prediction, as a run leaves them, the true trace may be in
    voxels or in micrometres, as for training, and comes back in voxels. It is in micrometres where it lies
    inside of the stack only so, or runs along the predicted trace only so. Of other files both must be in
    one unit.

    Args:
        pred: SWC file; it may be without nodes.
        truth: SWC file.
        voxel: size of a voxel in nm, in place of what the labels say.

    Raises:
        DataError: a file cannot be read, a true node lies outside of the stack, or the traces run together
            only where one is taken to be in micrometres and the other one in voxels.
        UsageError: a true node lies outside, and may be in micrometres of voxels of unknown size.
    """
    ours, theirs = read_swc(pred, empty=True), read_swc(truth)
    found, known, labels = ours.tree, theirs.tree, predicted_labels(pred.parent)
    doubts = tuple(
        told
        for path, file in ((pred, ours), (truth, theirs))
        for told in mended(named_repairs(path, file), path.name)
    )
    doubts += _left_out(truth, known)
    if pred.name == IN_VOXELS and labels.exists():
        stack = as_stack(open_volume(labels, voxel=voxel))
        inside = trees_inside(theirs, stack) or [trace_inside(truth, stack).tree]
        sized = stack.voxel is not None and stack.voxel.z is not None
        return TracePair(found, _along(found, inside), stack.voxel if sized else None, doubts)
    for path, one, other in ((truth, known, found), (pred, found, known)):
        scaled = from_micrometres(one, voxel)
        if scaled is not None and _along(other, (one, scaled), least=_SAME) is scaled:
            told = f"it fits {truth if path == pred else pred} only where it is taken to be in micrometres"
            raise DataError(path, told, "give both traces in voxels, or both in one unit and no --voxel-size")
    return TracePair(found, known, voxel, doubts)


def _left_out(path: Path, truth: Tree) -> tuple[str, ...]:
    """What DIADEM leaves out of a truth with several roots."""
    if len(truth.roots) < 2:
        return ()
    root = np.arange(len(truth))
    for node, parent in enumerate(truth.parent):
        root[node] = node if parent < 0 else root[parent]
    first = truth.kept(root == truth.roots[0]).length
    share = 100 * first / truth.length if truth.length else 0.0
    told = f"{path.name}: {len(truth.roots)} roots; DIADEM counts the tree of the first, {share:.0f} % of"
    return (f"{told} the length.",)


def _along(tree: Tree, others: Sequence[Tree], *, least: float = 0.0) -> Tree:
    """Which of the others runs along a tree: the first, unless another one does so much better."""
    shares = [tolerance_scores(tree, other, _NEAR).f1 for other in others]
    best = max(shares)
    return others[shares.index(best)] if best > max(_BETTER * shares[0], least) else others[0]
