"""A traced neuron as SWC files, in micrometres and in voxels of its stack, and a table of its branches."""

from __future__ import annotations

from pathlib import Path

from morula.core.tree import Tree
from morula.core.types import Voxel
from morula.data.branches import BRANCHES, write_branches
from morula.data.swc import write_swc

__all__ = ["IN_VOXELS", "TRACE_FILES", "write_traces"]

IN_VOXELS = "trace.voxel.swc"
TRACE_FILES = ("trace.swc", IN_VOXELS, BRANCHES)


def write_traces(out: Path, tree: Tree, size: Voxel) -> float:
    """Writes `trace.swc`, `trace.voxel.swc` and `branches.csv`, and returns the length in micrometres.

    Args:
        out: the folder.
        tree: in voxels.
        size: of a voxel in nm; without z a section is as deep as a pixel is wide.

    Raises:
        ResourceError: the disk is full.
    """
    edges = (size.z or size.x, size.y, size.x)
    physical = tree.scaled([edge / 1000 for edge in edges])
    write_swc(out / IN_VOXELS, tree, comments=["unit: voxels of the stack, the first at 0"])
    said = " x ".join(f"{edge:g}" for edge in edges)
    write_swc(out / "trace.swc", physical, comments=[f"unit: um; voxel z x y x x: {said} nm"])
    write_branches(out / BRANCHES, physical)
    return physical.length
