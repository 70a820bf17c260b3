"""From a mask or a probability map in a file to SWC files."""

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
from morula.workflows.tracing import check_near, check_root

__all__ = ["TRACING", "Traced", "trace"]

TRACING = Tracing(speck=100)
"""A map from anywhere has specks, each of which a gap would join to the neuron."""


@dataclass(frozen=True)
class Traced:
    """What a tracing left on disk.

    Attributes:
        out: the folder with `trace.swc` (um) and `trace.voxel.swc` (voxels).
        tree: the neuron, in voxels.
        length_um: of all branches together.
    """

    out: Path
    tree: Tree
    length_um: float

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "out": str(self.out),
            "nodes": len(self.tree),
            "tips": len(self.tree.tips),
            "branch_points": len(self.tree.branch_points),
            "length_um": round(self.length_um, 3),
        }


def trace(
    source: str | Path,
    *,
    out: str | Path,
    root: Sequence[float] | None = None,
    voxel: VoxelSize = None,
    tracing: Tracing = TRACING,
    overwrite: bool = False,
) -> Traced:
    """Traces the neuron in a mask (whole numbers, non-zero inside) or a probability map (floats in [0, 1]).

    Args:
        source: a stack in any format that `morula.data.open_volume` reads.
        out: folder for `trace.swc` in micrometres and `trace.voxel.swc` in voxels.
        root: where the neuron begins, z, y, x in voxels; found where it is not given.
        voxel: size of a voxel in nm, in place of what the file says.
        tracing: thresholds, and lengths in voxels; its `depth` follows from the size of a voxel.
        overwrite: replace earlier traces.

    Raises:
        DataError: not a stack, one section only, values outside [0, 1], or no foreground.
        UsageError: no voxel size is known, the root lies outside or far from all foreground, or a trace is
            there already.
    """
    path, out = Path(source), Path(out)
    there = next((out / name for name in TRACE_FILES if (out / name).exists()), None)
    if there is not None and not overwrite:
        raise UsageError(there, "a trace is there already", "choose another --out, or add --overwrite")
    volume = as_stack(open_volume(path, voxel=voxel))
    check_sections(volume)
    size = _size(volume)
    settings = replace(tracing, depth=(size.z or size.x) / size.x)
    if root is not None:
        check_root(root, volume.shape)
    tree = trace_map(_probability(path, volume), root=root, tracing=settings)
    if not len(tree):
        found = "there is no foreground in it"
        raise DataError(path, found, f"give a mask or a map with values above {settings.threshold:g}")
    if root is not None:
        check_near(root, tree, volume.uri)
    return Traced(out, tree, write_traces(out, tree, size))


def _size(volume: Volume) -> Voxel:
    size = volume.voxel
    if size is None or size.z is None:
        found = f"{volume.uri} does not say how large a voxel is along z, y and x"
        raise UsageError("--voxel-size", found, "give Z Y X in nm")
    return size


def _probability(path: Path, volume: Volume) -> Array:
    array = volume.read()
    if array.dtype.kind == "f" and (array.min() < 0 or array.max() > 1):
        found = f"floats from {array.min():.4g} to {array.max():.4g}"
        raise DataError(path, found, "give probabilities between 0 and 1, or a mask of whole numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else array
