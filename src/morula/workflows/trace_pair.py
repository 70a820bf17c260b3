"""A predicted and a true trace from their files, in one unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data import open_volume, predicted_labels, read_swc
from morula.data.traced import from_micrometres, trees_inside
from morula.data.traces import IN_VOXELS
from morula.data.volumes import as_stack
from morula.metrics import tolerance_scores

__all__ = ["read_pair"]

_NEAR = 4.0  # voxels between traces that run together
_BETTER = 1.5  # times more of two traces must run together in micrometres than in voxels
_SAME = 0.5  # F1 from which two traces are certainly of one neuron


def read_pair(pred: Path, truth: Path, voxel: Voxel | None) -> tuple[Tree, Tree]:
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
        DataError: a file cannot be read, or the traces run together only where one is taken to be in
            micrometres and the other one in voxels.
    """
    found, labels = read_swc(pred, empty=True).tree, predicted_labels(pred.parent)
    file = read_swc(truth)
    known = file.tree
    if pred.name == IN_VOXELS and labels.exists():
        stack = as_stack(open_volume(labels, voxel=voxel))
        return found, _along(found, trees_inside(file, stack) or [known])
    for path, one, other in ((truth, known, found), (pred, found, known)):
        scaled = from_micrometres(one, voxel)
        if scaled is not None and _along(other, (one, scaled), least=_SAME) is scaled:
            told = f"it fits {truth if path == pred else pred} only where it is taken to be in micrometres"
            raise DataError(path, told, "give both traces in voxels, or both in one unit and no --voxel-size")
    return found, known


def _along(tree: Tree, others: Sequence[Tree], *, least: float = 0.0) -> Tree:
    """Which of the others runs along a tree: the first, unless another one does so much better."""
    shares = [tolerance_scores(tree, other, _NEAR).f1 for other in others]
    best = max(shares)
    return others[shares.index(best)] if best > max(_BETTER * shares[0], least) else others[0]
