"""Ranks segmentations of the same images without their truth, says why, and abstains if none is plausible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from morula.core.errors import DataError, times
from morula.core.types import Array, Voxel, VoxelSize
from morula.data import list_volumes, open_volume, predicted_labels, read_mask
from morula.data.listing import of_kinds, visible
from morula.data.open import VOLUME_SUFFIXES, read_header
from morula.data.volumes import as_stack, volume_id
from morula.metrics import (
    Look,
    Packed,
    Shapes,
    Verdict,
    composite,
    edge_contrast,
    equal_gaps,
    look,
    predictability,
    shapes,
    with_consensus,
)

__all__ = ["select"]

_VOTERS = 3
"""Fewest candidates whose consensus is evidence: two differ from each other alike."""


class _Candidate(NamedTuple):
    """Label files of one segmentation, by the stem of their image."""

    name: str
    where: Path
    files: Mapping[str, Path]


class _Measured(NamedTuple):
    """A candidate's masks, flat and packed into bits, of `size` pixels, and what they are worth alone."""

    bits: Array
    size: int
    verdict: Verdict


def select(
    candidates: str | PathLike[str],
    *,
    prior: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    voxel: VoxelSize = None,
    prior_voxel: VoxelSize = None,
) -> dict[str, Any]:
    """Ranks candidate segmentations by `morula.metrics.composite`, without truth.

    Args:
        candidates: a folder. Every label volume in it is a candidate, and so is every folder in it: one with
            label volumes, with 2D sections of one stack, with `<stem>/labels.tif`, or a run. Several stems of
            a candidate are judged together.
        prior: labels of the source: a file, a folder of volumes, or a folder of sections.
        images: what was segmented; named like the labels if there are several. With it the score knows
            whether masks follow the image, which is worth more than all else.
        voxel: size of the candidates' voxels in nm, in place of what the files say; `unknown` if they lie.
        prior_voxel: the same of the prior. Where both are known, areas are compared in nm^2, not in pixels,
            and sections are overlapped with those that are equally far in both, not with the next.

    Returns:
        Ready for JSON: `ranking`, best first, of `{name, score, plausible, objections, terms}`; `abstain`,
        true if no candidate is plausible; and `why`, a sentence. The score is minus the sum of the penalties
        of the terms, 0 at best: higher is better. Each term tells its `value`, what was `expected`, and its
        `penalty`; a candidate with objections has a penalty of 100 for that.

    Raises:
        DataError: no candidate, labels that cannot be read or do not fit each other, an empty prior.
    """
    found = _list_candidates(Path(candidates))
    stems = _stems(found)
    seen, size = _open_images(None if images is None else Path(images), stems, voxel)
    size = size or _size_of(next(iter(found[0].files.values())), voxel)
    expected, gap = _prior(Path(prior), prior_voxel, size)
    layout: dict[str, tuple[tuple[int, ...], Path]] = {}
    if seen is not None:
        layout = {stem: (shape, Path(str(images))) for stem, shape in zip(stems, seen.shapes, strict=True)}
    measured = [_measure(candidate, stems, layout, expected, seen, size, gap) for candidate in found]
    verdicts = [each.verdict for each in measured]
    if len(found) >= _VOTERS:
        verdicts = with_consensus(verdicts, Packed([each.bits for each in measured], measured[0].size))
    order = sorted(range(len(found)), key=lambda i: (-verdicts[i].score, found[i].name))
    ranking = [_as_json(found[i].name, verdicts[i]) for i in order]
    abstain = not any(entry["plausible"] for entry in ranking)
    return {"ranking": ranking, "abstain": abstain, "why": _why(ranking, abstain)}


def _list_candidates(folder: Path) -> list[_Candidate]:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise DataError(
            folder, found, "give a folder that holds a label volume or a folder for each candidate"
        )
    inside = visible(folder)
    files = of_kinds(inside, VOLUME_SUFFIXES)
    found = [_Candidate(volume_id(path), path, {"": path}) for path in files]
    found += [_Candidate(path.name, path, _label_files(path)) for path in inside if path.is_dir()]
    if not found:
        raise DataError(folder, "no candidates", "put a label volume or a folder in it for each candidate")
    names: dict[str, Path] = {}
    for candidate in found:
        other = names.setdefault(candidate.name, candidate.where)
        if other != candidate.where:
            what = f"two candidates named {candidate.name!r}: {other.name} and {candidate.where.name}"
            raise DataError(folder, what, "rename one of them")
    return found


def _label_files(folder: Path) -> dict[str, Path]:
    root = folder / "predictions" if (folder / "predictions").is_dir() else folder
    inner = {path.name: file for path in visible(root) if (file := predicted_labels(path)).exists()}
    if inner:
        return inner
    files = list_volumes(root)
    return {"": files[0]} if len(files) == 1 else {volume_id(path): path for path in files}


def _stems(found: Sequence[_Candidate]) -> list[str]:
    """Names of the images that every candidate segments; one that has a single file needs no name for it."""
    if all(len(candidate.files) == 1 for candidate in found):
        return [next(iter(found[0].files))]
    first = found[0]
    for other in found[1:]:
        odd = sorted(set(first.files) ^ set(other.files))
        if odd:
            what = f"not the images of {first.name}: only one of the two has {', '.join(odd[:3]) or 'a file'}"
            raise DataError(
                other.where, what, "let every candidate segment the same images, under one name each"
            )
    return list(first.files)


def _prior(path: Path, voxel: VoxelSize, other: Voxel | None) -> tuple[Shapes, int]:
    """Shapes of the source, and the sections of a candidate, of voxels as `other`, that are as far apart."""
    files = list_volumes(path)
    size = _size_of(files[0], voxel)
    ours, theirs = equal_gaps(size and size.z, other and other.z)
    found = shapes((read_mask(file) for file in files), pixel_area=size and size.area, gap=ours)
    if found.count == 0:
        raise DataError(path, "no object of more than 10 pixels", "give source labels that show the objects")
    return found, theirs


def _open_images(
    path: Path | None, stems: Sequence[str], voxel: VoxelSize
) -> tuple[Look | None, Voxel | None]:
    """The images in the order of the stems, and the size of their voxels."""
    if path is None:
        return None, None
    files = list_volumes(path)
    if len(files) == len(stems) == 1:
        ordered = files
    else:
        by_name = {volume_id(file): file for file in files}
        missing = [stem for stem in stems if stem not in by_name]
        if missing:
            what = f"no image for the labels {', '.join(missing[:3])}"
            raise DataError(path, what, "name each image like its labels")
        ordered = [by_name[stem] for stem in stems]
    volumes = [as_stack(open_volume(file)) for file in ordered]
    return look([volume.read() for volume in volumes]), _size_of(ordered[0], voxel)


def _measure(
    candidate: _Candidate,
    stems: Sequence[str],
    layout: dict[str, tuple[tuple[int, ...], Path]],
    prior: Shapes,
    seen: Look | None,
    size: Voxel | None,
    gap: int,
) -> _Measured:
    files = list(candidate.files.values()) if len(stems) == 1 else [candidate.files[stem] for stem in stems]
    masks: list[Array] = []
    for stem, file in zip(stems, files, strict=True):
        mask = read_mask(file).astype(np.bool_)
        shape, other = layout.setdefault(stem, (mask.shape, file))
        if shape != mask.shape:
            what = f"labels of {times(mask.shape)}, but {other} has {times(shape)}"
            raise DataError(file, what, "give candidates of the same images at the same size")
        masks.append(mask)
    found = shapes(masks, pixel_area=size and size.area, gap=gap)
    evidence: dict[str, float] = {}
    if seen is not None and found.count:
        evidence = {
            "predictability": predictability(masks, seen),
            "edges": edge_contrast(masks, seen, area=found.area),
        }
    joined = np.concatenate([mask.ravel() for mask in masks])
    return _Measured(np.packbits(joined), joined.size, composite(found, prior, evidence))


def _size_of(path: Path, voxel: VoxelSize) -> Voxel | None:
    known = read_header(path).voxel if voxel is None else voxel
    return None if known == "unknown" else known


def _as_json(name: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "name": name,
        "score": round(verdict.score, 4),
        "plausible": not verdict.objections,
        "objections": list(verdict.objections),
        "terms": {
            term: {"value": _number(t.value), "expected": _number(t.expected), "penalty": _number(t.penalty)}
            for term, t in verdict.terms.items()
        },
    }


def _why(ranking: Sequence[Mapping[str, Any]], abstain: bool) -> str:
    best = ranking[0]
    if abstain:
        told = "; ".join(best["objections"])
        return f"no candidate is plausible; of the least bad, {best['name']}: {told}"
    against = sorted(best["terms"].items(), key=lambda item: -item[1]["penalty"])[:2]
    told = ", ".join(f"{name} (-{term['penalty']:.2f})" for name, term in against if term["penalty"] >= 0.005)
    lead = (
        f" {best['score'] - ranking[1]['score']:.2f} ahead of {ranking[1]['name']}"
        if len(ranking) > 1
        else ""
    )
    return f"{best['name']} is best,{lead or ' being alone'}; against it speaks {told or 'nothing'}"


def _number(value: float) -> float:
    return float(f"{value:.6g}")
