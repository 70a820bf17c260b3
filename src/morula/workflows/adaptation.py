"""Two domains in one plan: labelled source volumes, and the target volumes that lack labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.config import Config
from morula.core.errors import DataError, UsageError
from morula.core.types import Domain, Record, VoxelSize
from morula.data import load_volumes, to_mask
from morula.recipes import RECIPES

__all__ = ["load_domains", "survey_domains", "why_adapt"]

_LOPSIDED = 3.0  # times; pixel sizes that differ more leave little that both domains show


def load_domains(
    images: Path,
    labels: Path | None,
    source: Path,
    source_labels: Path | None,
    voxel: VoxelSize,
    source_voxel: VoxelSize,
    *,
    skip_bad: bool,
) -> tuple[list[Record], list[Record], list[DataError]]:
    """Records of the target and of the source, and the errors of those left out.

    Raises:
        UsageError: the source has no labels, or a voxel size is neither given nor in the files.
        DataError: a volume or its labels cannot be used.
    """
    if source_labels is None:
        raise UsageError("--source", "labels are missing", "name them with --source-labels")
    target, bad = _load(images, labels, voxel, "target", "--voxel-size", skip_bad)
    others, worse = _load(source, source_labels, source_voxel, "source", "--source-voxel-size", skip_bad)
    for record in target:  # what would refuse to be measured after the training is refused before it
        if record.labels is not None:
            to_mask(record.labels(), where=labels or record.image.uri)
    return target, others, [*bad, *worse]


def survey_domains(target: Sequence[Record], source: Sequence[Record]) -> dict[str, Any]:
    """What the volumes are, as JSON values."""
    sizes = np.array([record.image.spatial_shape for record in target])
    return {
        "images": len(target),
        "sources": len(source),
        "dimensions": 3,
        "smallest": sizes.min(axis=0).tolist(),
        "largest": sizes.max(axis=0).tolist(),
        "dtypes": sorted({str(record.image.dtype) for record in target}),
        "labelled": sum(record.is_labelled for record in target),
        "pixel_nm": _edges(target),
        "source_pixel_nm": _edges(source),
    }


def why_adapt(
    facts: Mapping[str, Any], config: Config, *, asked: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The reasons for recipe emda and the doubts about it, one sentence each.

    Args:
        facts: of `survey_domains`.
        config: of the recipe.
        asked: whether the user named the recipe.
    """
    harmonise: bool = config.model_dump()["harmonise"]
    ours, theirs = facts["pixel_nm"], facts["source_pixel_nm"]
    sizes = "both are brought to one size" if ours and theirs else "the ratio is estimated from the images"
    reasons = [
        f"{facts['images']} volume(s) without labels are to be segmented, {facts['sources']} volume(s) of "
        "another domain have labels.",
        "Recipe emda was asked for." if asked else f"Recipe emda does this: {RECIPES['emda'].title}.",
        f"Pixels measure {_told(ours)} in the target and {_told(theirs)} in the source; "
        + (f"{sizes}." if harmonise else "they are taken as they are."),
    ]
    if facts["labelled"]:
        reasons.append("Labels of the target only measure the result; no training step can read them.")
    doubts: list[str] = []
    known = ours and theirs
    if harmonise and not known:
        doubts.append(
            "A voxel size is unknown. The estimated ratio is stated in the report; a known size is safer."
        )
    elif known and max(ours[0] / theirs[0], theirs[0] / ours[0]) > _LOPSIDED:
        lost = "fine detail" if harmonise else "objects of another size in pixels"
        doubts.append(f"Pixel sizes differ more than {_LOPSIDED:g} times; expect {lost} to be lost.")
    return tuple(reasons), tuple(doubts)


def _load(
    images: Path, labels: Path | None, voxel: VoxelSize, domain: Domain, option: str, skip_bad: bool
) -> tuple[list[Record], list[DataError]]:
    records, bad = load_volumes(images, labels, voxel=voxel, domain=domain, skip_bad=skip_bad)
    missing = next((record for record in records if record.image.voxel is None), None)
    if missing is not None and voxel != "unknown":
        found = f"{missing.image.uri} does not say how large a voxel is"
        raise UsageError(option, found, "give Z Y X in nm, or the word unknown to have it estimated")
    return records, bad


def _edges(records: Sequence[Record]) -> list[float] | None:
    sized = [record.image.voxel for record in records if record.image.voxel is not None]
    return [sized[0].y, sized[0].x] if sized else None


def _told(edges: list[float] | None) -> str:
    return "an unknown size" if edges is None else f"{edges[0]:g} x {edges[1]:g} nm"
