"""From a mask, labels or a probability map in a file to SWC files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, UsageError
from morula.core.tree import Tree
from morula.core.types import Array, Volume, Voxel, VoxelSize
from morula.data import open_volume, write_traces
from morula.data.traced import check_sections
from morula.data.traces import TRACE_FILES
from morula.data.volumes import as_stack
from morula.post import Tracing
from morula.post import trace as trace_map
from morula.post.untyped import ndi
from morula.workflows.app2 import APP2, Compared, compare, find_program
from morula.workflows.tracing import check_near, check_root

__all__ = ["TRACING", "Traced", "trace"]

TRACING = Tracing(speck=100)
"""A map from anywhere has specks, each of which a gap would join to the neuron."""

_FLAT = 0.9  # least share of neighbours inside with one number: labels are flat, grey values are not
_TOLD = 5  # labels


@dataclass(frozen=True)
class Traced:
    """What the tracing of a neuron left on disk.

    Attributes:
        out: the folder with `trace.swc` (um) and `trace.voxel.swc` (voxels).
        tree: the neuron, in voxels.
        length_um: of all branches together.
        label: its number, where several were traced.
        app2: what Vaa3D's APP2 traced, where it was asked for.
    """

    out: Path
    tree: Tree
    length_um: float
    label: int | None = None
    app2: Compared | None = None

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "out": str(self.out),
            "nodes": len(self.tree),
            "tips": len(self.tree.tips),
            "branch_points": len(self.tree.branch_points),
            "length_um": round(self.length_um, 3),
        } | ({} if self.app2 is None else {"app2": self.app2.as_json()})

    def __str__(self) -> str:
        """The result for a reader."""
        told = f"{len(self.tree)} nodes, {len(self.tree.tips)} tips, {self.length_um:.1f} um: {self.out}"
        return told if self.app2 is None else f"{told}\n{self.app2}"


@dataclass(frozen=True)
class _Neuron:
    """A map `(z, y, x)` with one neuron, and where its first voxel lies in the stack."""

    likely: Array
    corner: tuple[int, ...] = (0, 0, 0)
    label: int | None = None


def trace(
    source: str | Path,
    *,
    out: str | Path,
    root: Sequence[float] | None = None,
    voxel: VoxelSize = None,
    label: int | None = None,
    tracing: Tracing = TRACING,
    app2: str | None = None,
    overwrite: bool = False,
) -> list[Traced]:
    """Traces the neuron in a mask or a probability map, or each neuron of a label image.

    Floats in [0, 1] are probabilities. Whole numbers are a mask where all but 0 are one number. Several
    numbers are labels, each of a neuron, where most of the stack is 0 and neighbours share theirs.

    Args:
        source: a stack in any format that `morula.data.open_volume` reads.
        out: folder for `trace.swc` in micrometres and `trace.voxel.swc` in voxels; of several labels each
            gets a folder in it, named by its number.
        root: where the neuron begins, z, y, x in voxels; found where it is not given.
        voxel: size of a voxel in nm, in place of what the file says.
        label: the number of the only one to trace.
        tracing: thresholds, and lengths in voxels; its `depth` follows from the size of a voxel.
        app2: Vaa3D's program, whose APP2 traces the same, into the folder `app2` beside.
        overwrite: replace earlier traces.

    Returns:
        The neuron, or one for each label.

    Raises:
        DataError: not a stack, one section only, values outside [0, 1], grey values, or no foreground; APP2
            left no trace, or a mirrored one.
        UsageError: no voxel size is known, the root lies outside or far from all foreground or is one for
            several labels, no such label, no such program, or a trace is there already.
        ResourceError: APP2 takes too long.
    """
    path, out = Path(source), Path(out)
    _refuse_there(out, overwrite)
    program = None if app2 is None else find_program(app2)
    volume = as_stack(open_volume(path, voxel=voxel))
    check_sections(volume)
    size = _size(volume)
    settings = replace(tracing, depth=(size.z or size.x) / size.x)
    if root is not None:
        check_root(root, volume.shape)
    neurons = _neurons(path, volume.read(), label)
    if len(neurons) > 1 and root is not None:
        found = f"one root for {len(neurons)} labels in {path}"
        raise UsageError("--root", found, "name one of them with --label ID, or leave --root out")
    folders = [out if neuron.label is None else out / str(neuron.label) for neuron in neurons]
    for folder in folders:
        _refuse_there(folder, overwrite)
    traced: list[Traced] = []
    for neuron, folder in zip(neurons, folders, strict=True):
        tree = trace_map(neuron.likely, root=root, tracing=settings)
        if not len(tree):
            found = "there is no foreground in it"
            raise DataError(path, found, f"give a mask or a map with values above {settings.threshold:g}")
        if root is not None:
            check_near(root, tree, volume.uri)
        for earlier in {out, folder}:
            _clear(earlier)
        placed = tree.moved(neuron.corner)
        done = Traced(folder, placed, write_traces(folder, placed, size), neuron.label)
        if program is not None:
            other = compare(program, neuron.likely, tree, root=root, threshold=settings.threshold, size=size)
            done = replace(done, app2=other.written(folder / APP2, neuron.corner, size))
        traced.append(done)
    return traced


def _clear(out: Path) -> None:
    """Takes an earlier trace away, and what APP2 made beside it."""
    for name in TRACE_FILES:
        (out / name).unlink(missing_ok=True)
        (out / APP2 / name).unlink(missing_ok=True)


def _refuse_there(out: Path, overwrite: bool) -> None:
    there = next((out / name for name in TRACE_FILES if (out / name).exists()), None)
    if there is not None and not overwrite:
        raise UsageError(there, "a trace is there already", "choose another --out, or add --overwrite")


def _size(volume: Volume) -> Voxel:
    size = volume.voxel
    if size is None or size.z is None:
        found = f"{volume.uri} does not say how large a voxel is along z, y and x"
        raise UsageError("--voxel-size", found, "give Z Y X in nm")
    return size


def _neurons(path: Path, array: Array, label: int | None) -> list[_Neuron]:
    """What is to be traced: a map, a mask, or the mask of each label in its box."""
    if array.dtype.kind == "f":
        if label is not None:
            raise UsageError("--label", f"{path} holds floats, no labels", "leave --label out")
        return [_Neuron(_probability(path, array))]
    values: Array = np.unique(array[array != 0])
    if label is not None:
        if label not in values:
            more = ", ..." if len(values) > _TOLD else ""
            found = f"{label} is not in {path}"
            raise UsageError("--label", found, f"its labels are {_listed(values)}{more}")
        return [_Neuron(array == label)]
    if len(values) < 2:
        return [_Neuron(array != 0)]
    _refuse_grey(path, array, values)
    places: dict[int, tuple[Array, ...]] = ndi.value_indices(array, ignore_value=0)
    return [_in_its_box(int(value), np.stack(places[value])) for value in places]


def _probability(path: Path, array: Array) -> Array:
    if array.min() < 0 or array.max() > 1:
        found = f"floats from {array.min():.4g} to {array.max():.4g}"
        raise DataError(path, found, "give probabilities between 0 and 1, or a mask of whole numbers")
    return array.astype(np.float32)


def _listed(values: Array) -> str:
    return ", ".join(map(str, values[:_TOLD].tolist()))


def _refuse_grey(path: Path, array: Array, values: Array) -> None:
    """Refuses whole numbers that are no labels: taken as a mask, all noise would be neuron."""
    filled = float(np.count_nonzero(array)) / array.size
    if values[0] > 0 and filled < 0.5 and _flatness(array) >= _FLAT:
        return
    found = (
        f"{len(values)} whole numbers from {values[0]} to {values[-1]} in {filled:.0%} of its voxels: grey "
        "values, no mask and no labels of single neurons"
    )
    fix = "save probabilities as floats from 0 to 1 (8 bit: divided by 255), a mask as 0 and 1, or name one"
    raise DataError(path, found, f"{fix} label with --label ID")


def _flatness(array: Array) -> float:
    """Of neighbours that are not 0, the share with one number."""
    pairs = equal = 0
    for axis in range(array.ndim):
        along = np.moveaxis(array, axis, 0)
        both = (along[1:] != 0) & (along[:-1] != 0)
        pairs += int(np.count_nonzero(both))
        equal += int(np.count_nonzero(both & (along[1:] == along[:-1])))
    return equal / pairs if pairs else 1.0


def _in_its_box(label: int, voxels: Array) -> _Neuron:
    corner = voxels.min(axis=1)
    mask = np.zeros(voxels.max(axis=1) + 1 - corner, np.bool_)
    mask[tuple(voxels - corner[:, None])] = True
    return _Neuron(mask, tuple(corner.tolist()), label)
