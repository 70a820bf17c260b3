"""Predictions as files that other programs open: label TIFF, table, COCO JSON, QuPath GeoJSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError
from morula.core.files import atomic_path
from morula.core.types import Array, Axes, Segmentation, Volume, Voxel
from morula.data.coco import coco_document
from morula.data.labels import LABELS, STORE, label_type, write_labels
from morula.data.listing import visible
from morula.data.objects import ObjectTable, measure
from morula.data.ome_zarr import write_image
from morula.data.outlines import outlines
from morula.data.predicted import MADE, TABLE, mark_made
from morula.data.traces import TRACE_FILES, write_traces
from morula.data.whole import atomic_folder

__all__ = [
    "COLUMNS",
    "VOLUME_COLUMNS",
    "is_stored",
    "prediction_folder",
    "write_objects",
    "write_prediction",
]

COLUMNS = (
    "id", "class", "score", "area", "centroid_y", "centroid_x",
    "bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1", "touches_border",
)  # fmt: skip
VOLUME_COLUMNS = (*COLUMNS, "centroid_z", "bbox_z0", "bbox_z1")

_WRITTEN = {LABELS, STORE, TABLE, MADE, "coco.json", "objects.geojson", *TRACE_FILES}
_STORED = 2**30  # bytes of a volume's labels beyond which a TIFF file is slow to open
_COLOURS = ((0, 158, 115), (213, 94, 0), (0, 114, 178), (204, 121, 167), (230, 159, 0), (86, 180, 233))


def write_prediction(
    folder: Path, segmentation: Segmentation, image: Volume, *, made: str | None = None
) -> None:
    """Writes the objects of one image into `folder`, all files or none.

    `labels.tif` holds the labels (uint16, uint32 beyond 65,535 objects); a volume of more than 1 GB of them
    has the OME-Zarr store `labels.ome.zarr`, with a pyramid, in its place. `objects.csv` has one row an
    object, with the columns `COLUMNS`, for volumes `VOLUME_COLUMNS`: centroids and boxes in pixels, boxes
    half-open, `touches_border` 0 or 1, and `area` in um^2 (um^3) where the image has a pixel size, else in
    pixels (voxels). For 2D images `coco.json` holds run lengths and scores, areas in pixels, and
    `objects.geojson` the outlines for QuPath, the unit of the area in its name. A traced neuron is written
    by `write_traces`, where the size of a voxel is known.

    Args:
        folder: where to write; an earlier prediction there is replaced, anything else is not touched.
        segmentation: the objects.
        image: the image they were found in.
        made: a fingerprint of all that the objects follow from, noted in `made.json` (see `made_with`).

    Raises:
        DataError: the folder holds files that are not a prediction of ours, or may not be written to.
        ResourceError: the disk is full.
        ValueError: the labels do not fit the image, or are not 1..N without gaps.
    """
    table = measure(segmentation.labels)
    _check(segmentation, image, table)
    areas, unit = _physical(table, image)
    with prediction_folder(folder, made) as temporary:
        _write_labels(temporary, segmentation.labels, image.voxel)
        write_objects(temporary / TABLE, table, segmentation.classes, segmentation.scores, image)
        if segmentation.tree is not None and image.voxel is not None:
            write_traces(temporary, segmentation.tree, image.voxel)
        if segmentation.labels.ndim == 2:
            _write_json(temporary / "coco.json", coco_document(Path(image.uri).name, segmentation, table))
            _write_json(temporary / "objects.geojson", _geojson(segmentation, areas, unit))


@contextmanager
def prediction_folder(folder: Path, made: str | None) -> Iterator[Path]:
    """A temporary folder for the files of a prediction, which it becomes when the block ends well.

    Args:
        folder: where to write; an earlier prediction there is replaced, anything else is not touched.
        made: a fingerprint of all that the objects follow from, noted in `made.json`.

    Raises:
        DataError: the folder holds files that are not a prediction of ours, or may not be written to.
        ResourceError: the disk is full.
    """
    _check_replaceable(folder)
    with atomic_folder(folder) as temporary:
        yield temporary
        if made is not None:
            mark_made(temporary, made)


def is_stored(shape: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether labels of this shape are written as a store, for a file of them is slow to open."""
    return len(shape) == 3 and prod(shape) * dtype.itemsize > _STORED


def _write_labels(folder: Path, labels: Array, voxel: Voxel | None) -> None:
    dtype = label_type(labels)
    if is_stored(labels.shape, dtype):
        write_image(folder / STORE, labels.astype(dtype), Axes("zyx"), voxel, how="mode", name="labels")
    else:
        write_labels(folder / LABELS, labels, voxel=voxel)


def _check(segmentation: Segmentation, image: Volume, table: ObjectTable) -> None:
    if segmentation.labels.shape != image.spatial_shape:
        raise ValueError(f"labels {segmentation.labels.shape} for an image {image.spatial_shape}")
    if len(table) != len(segmentation.scores) or (table.id < 0).any():
        raise ValueError(f"{len(table)} objects numbered up to {len(segmentation.scores)}: 1..N without gaps")


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    fix = "choose another folder with --out, or move it away"
    if not folder.is_dir():
        raise DataError(folder, "a file where the prediction's folder should be", fix)
    names = {item.name for item in visible(folder)}
    whole = TABLE in names and not names.isdisjoint({LABELS, STORE})
    if names and not (whole and names <= _WRITTEN):
        others = sorted(names - _WRITTEN) or sorted(names)
        raise DataError(folder, f"it holds files that are not a prediction ({', '.join(others[:3])})", fix)


def _physical(table: ObjectTable, image: Volume) -> tuple[Array, str]:
    """Areas and their unit: um^2 or um^3 with a pixel size, else pixels or voxels."""
    voxel = image.voxel
    if len(image.spatial_shape) == 3:
        if voxel is None or voxel.z is None:
            return table.area, "voxels"
        return table.area * (voxel.area * voxel.z / 1e9), "um^3"
    return (table.area, "px^2") if voxel is None else (table.area * (voxel.area / 1e6), "um^2")


def write_objects(
    path: Path, table: ObjectTable, classes: Sequence[str], scores: Array, image: Volume
) -> None:
    """Writes the table that `write_prediction` calls `objects.csv`, row by row.

    Args:
        path: of the file.
        table: of the n objects.
        classes: `(n,)` of each.
        scores: `(n,)` of each.
        image: the image they were found in, for the size of a pixel.

    Raises:
        ResourceError: the disk is full.
    """
    areas, _ = _physical(table, image)
    with atomic_path(path) as temporary:
        _write_rows(temporary, table, np.array(classes, dtype=object), scores, areas)


def _write_rows(path: Path, table: ObjectTable, classes: Array, scores: Array, areas: Array) -> None:
    volume = table.start.shape[1] == 3
    plane = slice(1, None) if volume else slice(None)
    columns: list[Array] = [
        table.id,
        classes,
        np.round(scores.astype(np.float64), 6),
        areas if areas.dtype.kind == "i" else np.round(areas, 6),
        *np.round(table.centroid[:, plane], 3).T,
        *table.start[:, plane].T,
        *table.stop[:, plane].T,
        table.touches_border.astype(int),
    ]
    if volume:
        columns += [np.round(table.centroid[:, 0], 3), table.start[:, 0], table.stop[:, 0]]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(VOLUME_COLUMNS if volume else COLUMNS)
        writer.writerows(zip(*(column.tolist() for column in columns), strict=True))


def _geojson(segmentation: Segmentation, areas: Array, unit: str) -> dict[str, Any]:
    names = sorted(set(segmentation.classes))
    colours = {name: list(_COLOURS[number % len(_COLOURS)]) for number, name in enumerate(names)}
    features = []
    for label, polygons in outlines(segmentation.labels).items():
        name = segmentation.classes[label - 1]
        single = len(polygons) == 1
        score, area = float(segmentation.scores[label - 1]), float(areas[label - 1])
        geometry = {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        }
        properties = {
            "objectType": "detection",
            "name": str(label),
            "classification": {"name": name, "color": colours[name]},
            "measurements": {"score": round(score, 6), f"area {unit}": round(area, 6)},
        }
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
