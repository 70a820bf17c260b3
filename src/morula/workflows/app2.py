"""Vaa3D's APP2 on the map that was traced, where that program is at hand: another trace to compare with.

Tested against a stand-in that takes the same words, not against Vaa3D itself.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, ResourceError, UsageError
from morula.core.tree import Tree
from morula.core.types import Array, Voxel
from morula.data import align, read_swc, refuse_mirrored, write_traces, write_v3draw
from morula.workflows.tracing import tree_scores

__all__ = ["APP2", "LIMIT", "Compared", "app2", "compare", "find_program"]

APP2 = "app2"
"""Name of the folder beside a trace."""

LIMIT = 3600.0
"""Seconds that APP2 may take."""

_SCORES = ("f1_2", "f1_4", "esa", "dsa", "pds")
_BRIGHT = 255
# whole, not shrunk to 256 voxels; radii from the section alone; neither distances nor gaps; branches from 5
# voxels on; nodes as they come. What follows differs between versions of the plugin, and is left out.
_SETTINGS = ("0", "1", "0", "0", "5", "0")


@dataclass(frozen=True)
class Compared:
    """A neuron as APP2 traced it.

    Attributes:
        tree: in voxels.
        scores: how it and another trace agree, which of the two is first does not matter: F1 at 2 and 4,
            ESA, DSA and PDS in pixel widths.
        out: the folder with `trace.swc` (um) and `trace.voxel.swc` (voxels), None where it was not written.
        length_um: of all branches together, where it was written.
    """

    tree: Tree
    scores: dict[str, float] = field(default_factory=dict[str, float])
    out: Path | None = None
    length_um: float = 0.0

    def written(self, out: Path, corner: Sequence[int], size: Voxel) -> Compared:
        """The same on disk.

        Args:
            out: the folder.
            corner: where the first voxel lies in the stack, z, y, x.
            size: of a voxel in nm.
        """
        tree = self.tree.moved(corner)
        return Compared(tree, self.scores, out, write_traces(out, tree, size))

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        told = {"out": str(self.out), "nodes": len(self.tree), "length_um": round(self.length_um, 3)}
        return told | {name: round(score, 4) for name, score in self.scores.items()}

    def __str__(self) -> str:
        """The result for a reader."""
        told = (
            f"APP2: {len(self.tree)} nodes, {self.length_um:.1f} um, F1 {self.scores['f1_4']:.2f} at 4 pixel"
        )
        return f"{told} widths between the two: {self.out}"


def find_program(name: str) -> str:
    """The path of Vaa3D's program.

    Args:
        name: a path, or what is on the PATH.

    Raises:
        UsageError: there is none that can be run.
    """
    found = shutil.which(name)
    if found is None:
        fix = "give the path of Vaa3D's program, or leave --app2 out"
        raise UsageError("--app2", f"there is no program {name}", fix)
    return found


def compare(
    program: str,
    likely: Array,
    tree: Tree,
    *,
    root: Sequence[float] | None,
    threshold: float,
    size: Voxel,
) -> Compared:
    """What APP2 traces in a map, with scores against another trace of it.

    Args:
        program: path of Vaa3D's program.
        likely: `(z, y, x)` floats in [0, 1], or a mask.
        tree: the other trace, in voxels.
        root: where the neuron begins, z, y, x in voxels; APP2 looks for a cell body where it is not given.
        threshold: of what is foreground.
        size: of a voxel in nm.

    Raises:
        DataError: APP2 left no trace, or a mirrored one.
        UsageError: the program cannot be run.
        ResourceError: it takes longer than `LIMIT`.
    """
    found = app2(program, likely, root=root, threshold=threshold)
    scores = tree_scores(found, tree, size)
    return Compared(found, {name: scores[name] for name in _SCORES})


def app2(program: str, likely: Array, *, root: Sequence[float] | None = None, threshold: float = 0.5) -> Tree:
    """What APP2 of Vaa3D traces in a map, in voxels.

    It gets 8 bits, for it measures radii by grey values of 8 bits, and the format `.v3draw`, whose first row
    stays the first; Vaa3D turns TIFFs upside down. It counts the voxels of a trace from 0, of a marker
    from 1.

    Args:
        program: path of Vaa3D's program.
        likely: `(z, y, x)` floats in [0, 1], or a mask.
        root: where the neuron begins, z, y, x in voxels.
        threshold: probability from which a voxel is foreground.

    Raises:
        DataError: APP2 left no trace, or a mirrored one.
        UsageError: the program cannot be run.
        ResourceError: it takes longer than `LIMIT`.
    """
    grey = np.round(likely.astype(np.float32) * _BRIGHT).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        stack, swc, marker = (Path(name) / each for each in ("map.v3draw", "map.swc", "root.marker"))
        write_v3draw(stack, grey)
        if root is not None:
            marker.write_text(f"{','.join(f'{place + 1:g}' for place in reversed(root))},1\n", "utf-8")
        background = max(ceil(threshold * _BRIGHT) - 1, 0)  # what is this bright is none of the neuron
        words = ["-x", "vn2", "-f", "app2", "-i", str(stack), "-o", str(swc), "-p"]
        words += ["NULL" if root is None else str(marker), "0", str(background), *_SETTINGS]
        told = _run([program, *words])
        if not swc.exists():
            found = f"APP2 left no trace; it last said {told!r}"
            raise DataError(program, found, "see that it traces by hand, or leave --app2 out")
        tree = read_swc(swc, empty=True).tree
    if len(tree):
        refuse_mirrored(program, align(tree, grey))
    return tree


def _run(command: Sequence[str]) -> str:
    """The last line that a program says. How it ends does not count: what it leaves on disk does."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        found = f"APP2 is not done after {LIMIT:g} s"
        raise ResourceError(command[0], found, "trace a part of the stack, or leave --app2 out") from error
    except OSError as error:
        found = f"it cannot be run ({error.strerror})"
        raise UsageError(command[0], found, "name Vaa3D's program with --app2") from error
    return (done.stdout.strip().splitlines() or [""])[-1][:160]
