"""Stacks with traced neurons: what is planned for them, and how well a trace fits a true one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from morula.blockwise import sample
from morula.core.errors import UsageError
from morula.core.tree import Tree
from morula.core.types import Record, Segmentation, Volume, Voxel, VoxelSize
from morula.data.traced import KnownTrace, check_sections
from morula.metrics import OLFACTORY, diadem_score, spatial_distances, tolerance_scores
from morula.recipes import RECIPES, Predictor

__all__ = [
    "TRACED",
    "check_near",
    "check_root",
    "check_sizes",
    "looks_inverted",
    "mended",
    "pixel_widths",
    "refuse_trained",
    "rooted",
    "survey_traced",
    "tree_scores",
    "why_traced",
]

TRACED = "vit3d"
"""The recipe that stacks with SWC files get where none is asked for."""

_FEW = 3  # traced stacks
_FAR = 30.0  # voxels from a given root to the neuron
_TOLD = 3  # repairs of one trace
_SHORT = 20.0  # voxels; a shorter trace shows hardly anything of its neuron
_EXTREME = 0.05  # percent of the voxels, at either end, that say how far grey values reach
_DARKER = 2.0  # times further do they reach below the median than above it in transmitted light


class _Tracer(Protocol):
    """A predictor that can be told where the neuron begins."""

    def traced(self, volume: Volume, root: Sequence[float] | None) -> Segmentation:
        """The neuron that begins at a root, z, y, x in voxels."""
        ...


def rooted(model: Predictor, root: Sequence[float], records: Sequence[Record]) -> Predictor:
    """A predictor that begins at a root in a stack.

    Raises:
        UsageError: the recipe traces nothing, there are several stacks, or the root lies outside; from the
            predictor, the neuron is far from the root.
    """
    if not hasattr(model, "traced"):
        raise UsageError("--root", "this run's recipe traces no neurons", "leave --root out")
    if len(records) > 1:
        found = f"one root for {len(records)} stacks"
        raise UsageError("--root", found, "give one stack, or leave --root out")
    for record in records:
        check_root(root, record.image.spatial_shape)
    tracer = cast(_Tracer, model)

    def traced(volume: Volume) -> Segmentation:
        found = tracer.traced(volume, root)
        if found.tree is not None:
            check_near(root, found.tree, volume.uri)
        return found

    return traced


def check_near(root: Sequence[float], tree: Tree, name: str) -> None:
    """Refuses a root that the tree of a stack begins far from: there is no foreground around it.

    Raises:
        UsageError: it is that far.
    """
    away = float(np.linalg.norm(tree.points[0] - root)) if len(tree) else 0.0
    if away > _FAR:
        told = " ".join(f"{place:g}" for place in root)
        found = f"{told} lies {away:.0f} voxels from the nearest foreground of {name}"
        raise UsageError("--root", found, "give z y x in voxels of a point on the neuron")


def check_root(root: Sequence[float], shape: Sequence[int]) -> None:
    """Refuses a root outside of a stack.

    Raises:
        UsageError: it lies outside.
    """
    if any(not 0 <= place <= length - 1 for place, length in zip(root, shape, strict=True)):
        told = " ".join(f"{place:g}" for place in root)
        found = f"{told} lies outside the stack of {' x '.join(map(str, shape))} voxels"
        raise UsageError("--root", found, "give z y x in voxels, counted from 0")


def check_sizes(records: Sequence[Record], voxel: VoxelSize) -> None:
    """Refuses stacks of one section, and of unknown voxel size: traces are written in micrometres.

    Raises:
        DataError: there is one section only.
        UsageError: a size is unknown.
    """
    if voxel == "unknown":
        found = "traces are written in micrometres, which needs the size of a voxel"
        raise UsageError(
            "--voxel-size", found, "give Z Y X in nm; any scale will do if only the ratio is known"
        )
    for record in records:
        check_sections(record.image)
        if record.image.voxel is None or record.image.voxel.z is None:
            found = f"{record.image.uri} does not say how large a voxel is along z, y and x"
            raise UsageError("--voxel-size", found, "give Z Y X in nm")


def refuse_trained(weights: object, images: Path, told: Sequence[str]) -> None:
    """Refuses to start a training from a run that traces: what it is for is to be applied.

    Args:
        weights: what the training is to start from; may be no path at all.
        images: what would be learned from.
        told: the words of the command line that say how the images are to be read.

    Raises:
        UsageError: the weights are a run of a recipe that traces; the fix is the command that applies it.
    """
    from morula.engine import read_json

    header = Path(str(weights or "")) / "run.json"
    recipe = str(read_json(header).get("recipe")) if header.is_file() else ""
    if recipe in RECIPES and RECIPES[recipe].traces:
        command = shlex.join(["morula", "predict", str(weights), str(images), *told, "--out", "DIR"])
        found = f"{weights} is a run of recipe {recipe}, and no training starts from one"
        raise UsageError("--weights", found, f"apply it: {command}; or leave --weights out to train")


def survey_traced(records: Sequence[Record]) -> dict[str, Any]:
    """What the stacks and their traces are, as JSON values."""
    sizes = np.array([record.image.spatial_shape for record in records])
    trees = [record.trace() for record in records if record.trace is not None]
    size = records[0].image.voxel
    assert size is not None
    return {
        "images": len(records),
        "dimensions": 3,
        "smallest": sizes.min(axis=0).tolist(),
        "largest": sizes.max(axis=0).tolist(),
        "dtypes": sorted({str(record.image.dtype) for record in records}),
        "labelled": len(trees),
        "nodes": sum(map(len, trees)),
        "pixel_nm": [size.y, size.x],
        "mended": [told for record in records for told in _mended(record)],
        "short": [told for record in records for told in _short(record)],
    }


def _mended(record: Record) -> list[str]:
    """What was mended in the file of a trace: the first repairs, and how many there are beyond."""
    return mended(record.trace.repairs if isinstance(record.trace, KnownTrace) else (), record.id)


def mended(repairs: Sequence[str], name: str) -> list[str]:
    """The first repairs of a trace that has a name, and how many there are beyond."""
    more = len(repairs) - _TOLD
    return [*repairs[:_TOLD], *([f"{more} more repairs of the trace of {name}."] if more > 0 else [])]


def _short(record: Record) -> list[str]:
    """A trace that is so short that it can hardly be the neuron, if it is one."""
    length = _SHORT if record.trace is None else record.trace().length
    if length >= _SHORT:
        return []
    told = f"The trace of {record.id} is {length:.3g} voxels long"
    return [f"{told}: what it leaves out of the neuron is learned as background."]


def looks_inverted(stack: Volume) -> list[str]:
    """The doubt about a stack whose neuron may be dark on a bright field, as in transmitted light.

    Told from its grey values alone: they reach much further below the median, which is the background, than
    above it. In fluorescence there is next to nothing below, but for voxels that were never seen: the least
    grey value is left out.

    Args:
        stack: `(z, y, x)`.
    """
    values = sample(stack)
    middle, most = np.percentile(values, (50, 100 - _EXTREME)).tolist()
    seen = values[values > values.min()]
    least = float(np.percentile(seen, _EXTREME)) if len(seen) else middle
    if middle - least <= _DARKER * (most - middle):
        return []
    told = f"{stack.uri} looks like dark neurites on a bright field"
    return [f"{told}, and bright ones are looked for: invert the stack (Fiji: Edit > Invert)."]


def why_traced(
    facts: Mapping[str, Any], recipe: str, *, asked: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The reasons for a recipe of traced neurons and the doubts about it, one sentence each."""
    traced, count = facts["labelled"], facts["images"]
    reasons = (
        f"{traced} of {count} stack(s) have a traced neuron, {facts['nodes']} nodes in all.",
        f"Recipe {recipe} was asked for."
        if asked
        else f"Recipe {recipe} does this: {RECIPES[recipe].title}.",
        "It learns from the traced stacks; scores of these say how well the traces were learned. To know the "
        "accuracy, keep some traced stacks aside and use `morula evaluate --kind swc`.",
    )
    doubts: list[str] = [*facts["mended"], *facts["short"]]
    if traced < _FEW:
        doubts.append(f"Only {traced} stack(s) are traced; three or more show more kinds of neurites.")
    return reasons, tuple(doubts)


def pixel_widths(size: Voxel | None) -> tuple[float, float, float]:
    """What makes of voxels lengths in pixel widths, z, y, x."""
    if size is None:
        return 1.0, 1.0, 1.0
    return (size.z or size.x) / size.x, size.y / size.x, 1.0


def tree_scores(pred: Tree, truth: Tree, voxel: Voxel | None = None) -> dict[str, float]:
    """F1, precision and recall of length at 2 and 4, Vaa3D's distances, and the DIADEM score.

    Lengths are counted in pixel widths. Without a voxel size a voxel is a cube, but not for `diadem`: its
    tolerances are those of the olfactory fibres, whatever the voxel, and so is then the distance of sections,
    3.034 pixel widths, at which it equals that of the official program with `-D 5`.

    Args:
        pred: predicted tree, in voxels.
        truth: true tree, in voxels.
        voxel: its size.

    Where one has no edge, the distances are the diagonal of the other's box, so that they stay numbers.

    >>> lone, line = Tree.of([[0, 0, 0]], [-1]), Tree.of([[0, 0, 0], [0, 0, 9]], [-1, 0])
    >>> tree_scores(lone, line)["esa"]
    9.0
    """
    scale = pixel_widths(voxel)
    ours, theirs = pred.scaled(scale), truth.scaled(scale)
    scores: dict[str, float] = {}
    for tolerance in (4, 2):
        found = tolerance_scores(ours, theirs, float(tolerance))
        scores |= {
            f"f1_{tolerance}": found.f1,
            f"precision_{tolerance}": found.precision,
            f"recall_{tolerance}": found.recall,
        }
    away = spatial_distances(ours, theirs)
    reach = max(
        (float(np.linalg.norm(np.ptp(each.points, axis=0))) for each in (ours, theirs) if len(each)),
        default=0.0,
    )
    settings = OLFACTORY if voxel is None else replace(OLFACTORY, xy_per_z=scale[0])
    flat = (1.0, *scale[1:])
    return scores | {
        "esa": away.esa if np.isfinite(away.esa) else reach,
        "dsa": away.dsa if np.isfinite(away.dsa) else reach,
        "pds": away.pds,
        "diadem": diadem_score(pred.scaled(flat), truth.scaled(flat), settings).score,
    }
