"""The traced neurons of a run or a prediction as one page on which they can be turned."""

from __future__ import annotations

from pathlib import Path

from morula.core.errors import DataError
from morula.core.tree import Tree
from morula.data import open_volume, predicted_labels, read_swc
from morula.data.volumes import as_stack
from morula.report import Scene, write_view

__all__ = ["view3d"]

_LEAST = 1.0  # micrometres along an edge of a box


def view3d(run: str | Path, *, out: str | Path | None = None) -> Path:
    """Writes a self-contained HTML page with every traced neuron, and returns its path.

    Args:
        run: a folder that `morula run`, `morula predict` or `morula trace` made.
        out: the page; `report/view3d.html` of a run, `view3d.html` of a prediction by default.

    Raises:
        DataError: there is no traced neuron in it, or labels do not say how large a voxel is.
        ResourceError: the disk is full.
    """
    run = Path(run)
    is_run = (run / "predictions").is_dir()
    folder = run / "predictions" if is_run else run
    files = [*sorted(folder.glob("trace.swc")), *sorted(folder.glob("*/trace.swc"))]
    trees = {path.parent: read_swc(path, empty=True).tree for path in files}
    traced = {place: tree for place, tree in trees.items() if len(tree)}
    if not traced:
        found = "there is no traced neuron in it"
        fix = "name a folder that `morula run`, `morula predict` or `morula trace` traced neurons into"
        raise DataError(run, found, fix)
    scenes = [_scene(each, tree, run / "scores" / f"{each.name}.swc") for each, tree in traced.items()]
    page = Path(out) if out is not None else (run / "report" if is_run else run) / "view3d.html"
    write_view(page, f"Neurons of {run.resolve().name}", scenes)
    return page


def _scene(folder: Path, tree: Tree, truth: Path) -> Scene:
    """A stack's trees; its labels say how large it is and its voxels are, else the tree fills the box."""
    if not predicted_labels(folder).exists():
        z, y, x = (max(float(far), _LEAST) for far in tree.points.max(axis=0))
        return Scene(folder.resolve().name, (z, y, x), tree)
    labels = as_stack(open_volume(predicted_labels(folder)))
    size, (depth, height, width) = labels.voxel, labels.shape
    if size is None:
        raise DataError(labels.uri, "it does not say how large a voxel is", "predict the stack again")
    z, y, x = (edge / 1000 for edge in (size.z or size.x, size.y, size.x))
    known = read_swc(truth).tree.scaled((z, y, x)) if truth.exists() else None
    return Scene(folder.name, (depth * z, height * y, width * x), tree, known)
