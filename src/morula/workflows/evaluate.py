"""Scores files: pairs predictions with truths by name, and says what is wrong with those it cannot score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from morula.core.errors import DataError, UsageError
from morula.core.types import Array, Voxel
from morula.data import hdf5, mrc, predicted_labels, read_labels
from morula.data.labels import LABELS, STORE, refuse_mask
from morula.data.ome_zarr import absent_chunks, is_ome_zarr
from morula.data.points import read_points_csv
from morula.data.reading import image_id
from morula.data.swc import SUFFIXES
from morula.data.traces import IN_VOXELS
from morula.data.volumes import list_volumes, volume_id
from morula.metrics import (
    Counts,
    class_mean,
    counting_errors,
    ignore_border,
    instance_scores,
    macro,
    micro,
    neuron_scores,
    point_scores,
    semantic_scores,
)
from morula.workflows.coco_evaluation import evaluate_coco, is_run
from morula.workflows.store_scores import nothing_left, store_scores
from morula.workflows.trace_masks import drawn_scores, mask_scores
from morula.workflows.trace_pair import TracePair, read_pair
from morula.workflows.tracing import tree_scores
from morula.workflows.volume_scores import volume_scores

__all__ = ["Kind", "evaluate"]

Kind = Literal["instances", "semantic", "volumes", "neurons", "points", "swc", "coco"]

_SCORES: Mapping[str, Callable[[Array, Array], dict[str, float]]] = {
    "instances": instance_scores,
    "semantic": semantic_scores,
    "volumes": volume_scores,
    "neurons": neuron_scores,
}
_OF_VOLUMES = frozenset({"volumes", "neurons"})
_TIFF = frozenset({".tif", ".tiff"})


class _Layout(NamedTuple):
    """Where files of a kind lie: `<stem><suffix>` in a folder, or `<stem>/<inner>` as a run writes them.

    With `sections` a folder of 2D images is one volume, where a file is to be compared with it.
    """

    suffixes: frozenset[str]
    inner: tuple[str, ...]
    sections: bool = False


_LABELS = _Layout(_TIFF | {".png"}, (LABELS, STORE))
_TRACES = _Layout(frozenset(SUFFIXES), (IN_VOXELS,))
_POINTS = _Layout(frozenset({".csv"}), ("objects.csv",))
_VOLUMES = _Layout(_LABELS.suffixes.union(hdf5.SUFFIXES, mrc.SUFFIXES), _LABELS.inner, sections=True)


def evaluate(
    pred: str | PathLike[str],
    truth: str | PathLike[str],
    *,
    kind: str,
    radius: float = 12.0,
    voxel: Voxel | None = None,
    label_suffix: str = "",
    border: float | None = None,
) -> dict[str, Any]:
    """Scores predicted files against true ones.

    Two files are scored as a pair, label stores of OME-Zarr by blocks, whatever their size. Folders are
    paired by stem, and every truth needs its prediction and the other way round. Where there is one volume
    on either side, they are a pair whatever their names, as for `run`. A prediction folder may also be a run
    (`RUN/predictions/<stem>/labels.tif`); those of its images that have a truth are scored.

    Args:
        pred: label image (TIFF, PNG), label volume (also `file.h5:/key`, MRC, or beside a file a folder of
            sections), labels of OME-Zarr (`a.ome.zarr/labels/mito`), point table (CSV), a folder of these,
            or a run.
        truth: the same of the truth. Point tables have the columns `x,y,label`, in pixels; the
            `objects.csv` of a run (`class`, `centroid_x`, `centroid_y`) will do as well.
        kind: `instances` (labels, 0 = background), `semantic` (non-zero = foreground), `volumes`
            (both, of stacks), `neurons` (dense segmentations of volumes), `points`, `swc` (traced neurons,
            both in one unit; true ones of a run's stacks in voxels or micrometres), or `coco` (average
            precision: `pred` holds COCO results or is a run, `truth` is a COCO JSON file).
        radius: the largest distance in pixels of a predicted to a true point; for `points` only.
        voxel: of traces in voxels, the size in nm; lengths are then counted in pixel widths. For `swc` only.
            Without it the labels beside a prediction say it; of other files a voxel counts as a cube.
        label_suffix: what the name of a true trace has behind the name of its stack. For `swc` only.
        border: leave out voxels this near to a border of the truth, in pixels of a section, as
            `morula.metrics.ignore_border` does; None scores all. For `neurons` only.

    Returns:
        `{"images": {stem: scores}, "mean": scores}`, all numbers floats, never NaN, ready for JSON; and
        `warnings`, sentences, where chunks of a Zarr store are not there and count as empty, an SWC file
        was mended or has several roots, or no voxel size is known of traces; of the others `voxel_nm`
        (`{stem: [z, y, x]}`) has the one that was used. The
        scores of `instances`, `semantic`, `neurons` and `volumes` are those of
        `morula.metrics.instance_scores`, `semantic_scores`, `neuron_scores` and
        `morula.workflows.volume_scores`, those of `swc` of
        `morula.workflows.tracing.tree_scores`, and of the mask beside a prediction, or of both trees
        drawn where `voxel` says that they are in voxels, those of `morula.workflows.trace_masks`; their
        mean is over the images, of the scores that all have. Those of `points` are
        `{class: {precision, recall, f1, tp, fp, fn}}`; their mean is the same over the images,
        and more: `macro` (`{class: ...}`, without the counts), `micro` (`{class: ...}`, cells pooled),
        `class_mean` (`macro` and `micro` averaged over the classes),
        `count_error` (`{class: ...}`, mean absolute error per image) and `count_error_total` (of all
        classes together). For `coco` see `morula.workflows.coco_evaluation.evaluate_coco`.

    Raises:
        UsageError: an unknown kind, a radius that is not a positive length, or a border that is no length or
            has no use.
        DataError: a file is missing, unreadable, without its partner, doubled, of another shape than its
            partner, or holds what is not a label or a point.
    """
    if kind not in get_args(Kind):
        known = ", ".join(get_args(Kind))
        raise UsageError("kind", f"{kind!r} is not a kind of evaluation", f"use one of {known}")
    if not (np.isfinite(radius) and radius > 0):
        raise UsageError("radius", f"{radius} is not a positive length", "give a distance in pixels")
    if border is not None and kind != "neurons":
        raise UsageError("--border", f"kind {kind} has no use for it", "leave it out, or take kind neurons")
    if border is not None and not (np.isfinite(border) and border >= 0):
        raise UsageError("--border", f"{border} is no length", "give a distance in pixels")
    if kind == "coco":
        return evaluate_coco(Path(pred), Path(truth))
    if kind == "points":
        return _evaluate_points(_pair_files(Path(pred), Path(truth), _POINTS), radius)
    if kind == "swc":
        return _evaluate_traces(_pair_files(Path(pred), Path(truth), _TRACES, label_suffix), voxel)
    layout = _VOLUMES if kind in _OF_VOLUMES else _LABELS
    pred, truth = _one_of_each(pred, truth, layout)
    stores = is_ome_zarr(pred) or is_ome_zarr(truth)
    if stores and (not layout.sections or _are_alone(Path(pred), Path(truth), layout)):
        scores = store_scores(pred, truth, kind, border=border)
        return _told({"images": {volume_id(Path(truth)): scores}, "mean": scores}, [(pred, truth)])
    pairs = _pair_files(Path(pred), Path(truth), layout)
    return _told(_evaluate_labels(pairs, kind, border), pairs.values())


def _told(scores: dict[str, Any], pairs: Iterable[Sequence[str | PathLike[str]]]) -> dict[str, Any]:
    """Scores with what has to be known of them, if anything has."""
    doubts = [doubt for pair in pairs for path in pair if (doubt := absent_chunks(path)) is not None]
    return {**scores, "warnings": doubts} if doubts else scores


def _evaluate_labels(
    pairs: Mapping[str, tuple[Path, Path]],
    kind: str,
    border: float | None,
) -> dict[str, Any]:
    images = {stem: _label_scores(*paths, kind, border) for stem, paths in pairs.items()}
    names = next(iter(images.values()))
    mean = {name: float(np.mean([scores[name] for scores in images.values()])) for name in names}
    return {"images": images, "mean": mean}


def _label_scores(pred: Path, truth: Path, kind: str, border: float | None) -> dict[str, float]:
    if kind in _OF_VOLUMES and (is_ome_zarr(pred) or is_ome_zarr(truth)):
        return store_scores(pred, truth, kind, border=border)
    return _SCORES[kind](*_read_label_pair(pred, truth, kind, border))


def _evaluate_traces(pairs: Mapping[str, tuple[Path, Path]], voxel: Voxel | None) -> dict[str, Any]:
    images: dict[str, dict[str, float]] = {}
    sizes: dict[str, list[float]] = {}
    doubts: list[str] = []
    for stem, (pred, truth) in pairs.items():
        pair = read_pair(pred, truth, voxel)
        images[stem] = _trace_scores(pair, pred)
        doubts += pair.doubts
        if pair.voxel is not None:
            sizes[stem] = [pair.voxel.z or pair.voxel.x, pair.voxel.y, pair.voxel.x]
    unsized = [stem for stem in images if stem not in sizes]
    if unsized:
        more = f" and {len(unsized) - 3} more" if len(unsized) > 3 else ""
        doubts.append(
            f"No voxel size is known of {', '.join(unsized[:3])}{more}: a voxel counts as a cube, and for "
            "diadem as that of the olfactory fibres. Give it with --voxel-size if the files are in voxels."
        )
    shared = [name for name in next(iter(images.values())) if all(name in row for row in images.values())]
    mean = _mean([{name: row[name] for name in shared} for row in images.values()])
    told = {"voxel_nm": sizes} if sizes else {}
    return {"images": images, "mean": mean, **told, **({"warnings": doubts} if doubts else {})}


def _trace_scores(pair: TracePair, pred: Path) -> dict[str, float]:
    """Of the trees, and of the mask that lies beside a prediction, or both trees drawn in voxels."""
    ours, theirs, voxel, _ = pair
    scores, labels = tree_scores(ours, theirs, voxel), predicted_labels(pred.parent)
    if pred.name == IN_VOXELS and labels.exists():
        return scores | mask_scores(read_labels(labels), theirs, voxel)
    return scores | drawn_scores(ours, theirs, voxel) if voxel is not None else scores


def _evaluate_points(pairs: Mapping[str, tuple[Path, Path]], radius: float) -> dict[str, Any]:
    tables = {
        stem: (_points_by_class(pred), _points_by_class(truth)) for stem, (pred, truth) in pairs.items()
    }
    classes = sorted({name for table in tables.values() for points in table for name in points})
    scored = {stem: point_scores(*table, radius) for stem, table in tables.items()}
    images = [{name: counts.get(name, Counts(0, 0, 0)) for name in classes} for counts in scored.values()]
    by_image = {name: macro([counts[name] for counts in images]) for name in classes}
    pooled = {name: _as_floats(micro(counts[name] for counts in images)) for name in classes}
    errors = counting_errors(images)
    return {
        "images": {
            stem: {name: _as_floats(counts) for name, counts in image.items()}
            for stem, image in zip(scored, images, strict=True)
        },
        "mean": {
            **{name: _mean([_as_floats(counts[name]) for counts in images]) for name in classes},
            "macro": by_image,
            "micro": pooled,
            "class_mean": {
                "macro": class_mean([*by_image.values()]),
                "micro": class_mean([*pooled.values()]),
            },
            "count_error": errors.classes,
            "count_error_total": errors.total,
        },
    }


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _as_floats(counts: Counts) -> dict[str, float]:
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "tp": float(counts.tp),
        "fp": float(counts.fp),
        "fn": float(counts.fn),
    }


def _pair_files(pred: Path, truth: Path, layout: _Layout, suffix: str = "") -> dict[str, tuple[Path, Path]]:
    """Prediction and truth of each stem, in alphabetical order."""
    for path in (pred, truth):
        if not hdf5.split_key(path)[0].exists():
            raise DataError(path, "no such file or folder", "check the spelling of the path")
    if _are_alone(pred, truth, layout):
        return {volume_id(truth).removesuffix(suffix): (pred, truth)}
    preds = _files_by_stem(pred, layout)
    named = _files_by_stem(truth, layout).items()
    truths = {stem.removesuffix(suffix): path for stem, path in named if stem.endswith(suffix)}
    _refuse_unpaired(pred, "prediction", sorted(truths.keys() - preds.keys()), len(truths))
    if not is_run(pred):
        _refuse_unpaired(truth, "truth", sorted(preds.keys() - truths.keys()), len(preds))
    return {stem: (preds[stem], truths[stem]) for stem in sorted(truths)}


def _one_of_each(
    pred: str | PathLike[str], truth: str | PathLike[str], layout: _Layout
) -> tuple[str | PathLike[str], str | PathLike[str]]:
    """The one volume of either side, if there is no more than one; else both paths as they are."""
    sides = _only_volume(pred, layout), _only_volume(truth, layout)
    return sides if _are_alone(Path(sides[0]), Path(sides[1]), layout) else (pred, truth)


def _only_volume(path: str | PathLike[str], layout: _Layout) -> str | PathLike[str]:
    """The volume of a folder that holds one file of it; any other path as it is."""
    folder = Path(path)
    if not layout.sections or is_ome_zarr(path) or not folder.is_dir():
        return path
    files = list(_files_by_stem(folder, layout).values())
    return files[0] if len(files) == 1 and not _has_sections(folder, layout) else path


def _are_alone(pred: Path, truth: Path, layout: _Layout) -> bool:
    """Whether either path is one image: both are files, or one is, and the other a folder of its sections."""
    folders = [path for path in (pred, truth) if not _is_file(path)]
    return not folders or (layout.sections and len(folders) == 1 and _has_sections(folders[0], layout))


def _is_file(path: Path) -> bool:
    """Whether a path is a file, a data set of one, or a store."""
    return is_ome_zarr(path) or hdf5.split_key(path)[0].is_file()


def _has_sections(folder: Path, layout: _Layout) -> bool:
    some = folder.is_dir() and any(entry.suffix.lower() in layout.suffixes for entry in folder.iterdir())
    return some and list_volumes(folder) == [folder]


def _files_by_stem(folder: Path, layout: _Layout) -> dict[str, Path]:
    if _is_file(folder):
        return {volume_id(folder): folder}
    root = folder / "predictions" if (folder / "predictions").is_dir() else folder
    entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    files = [(image_id(entry), entry) for entry in entries if entry.suffix.lower() in layout.suffixes]
    places = [(entry.name, entry / name) for entry in entries for name in layout.inner]
    inner = [(stem, path) for stem, path in places if path.exists()]
    found = [*files, *inner]
    if not found:
        wanted = ", ".join(sorted(layout.suffixes))
        raise DataError(
            root, f"no {wanted} file and no <stem>/{layout.inner[0]} here", "choose another folder"
        )
    stem, times = Counter(stem for stem, _ in found).most_common(1)[0]
    if times > 1:
        names = " and ".join(str(path.relative_to(root)) for other, path in found if other == stem)
        raise DataError(root, f"{times} files share the stem {stem!r}: {names}", "keep one of them")
    return dict(found)


def _refuse_unpaired(where: Path, role: str, missing: list[str], count: int) -> None:
    if missing:
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        found = f"no {role} for {len(missing)} of {count} images: {named}"
        raise DataError(where, found, "add the missing files, or remove their partners")


def _read_label_pair(
    pred_path: Path, truth_path: Path, kind: str, border: float | None
) -> tuple[Array, Array]:
    """Both arrays; refused is a truth that would call any prediction flawless, or any wrong."""
    pred, truth = read_labels(pred_path), read_labels(truth_path)
    if kind == "neurons" and not truth.any():
        raise DataError(truth_path, "no voxel is labelled", "name the true labels")
    if kind == "instances":
        refuse_mask(truth_path, truth)
    if pred.shape != truth.shape:
        found = f"shape {pred.shape}, but the truth {truth_path} has {truth.shape}"
        fix = "predict the image that was annotated, at its full size"
        if kind == "neurons" and truth.ndim == 3:
            fix += ", or write the truth into a volume as large, where 0 is not labelled"
        raise DataError(pred_path, found, fix)
    if border is not None:
        sections = truth.reshape(-1, *truth.shape[-2:])
        truth = ignore_border(sections, border).reshape(truth.shape)
        if not truth.any():
            raise nothing_left(truth_path, border)
    return pred, truth


def _points_by_class(path: Path) -> dict[str, Array]:
    """`(n, 2)` coordinates y, x in pixels of each class."""
    points = read_points_csv(path)
    return {name: points.of(name) for name in sorted(set(points.classes))}
