"""What a prediction leaves behind: labels, a table, COCO JSON, QuPath GeoJSON; all of it or nothing."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from morula.core.errors import DataError
from morula.core.files import atomic_path, write_text
from morula.core.types import Array, Segmentation, Volume, Voxel
from morula.data.coco import encode_rle
from morula.data.labels import write_labels
from morula.data.objects import ObjectTable, crops, measure, outline

__all__ = ["COLUMNS", "write_prediction"]

COLUMNS = (
    *("id", "class", "score", "area", "centroid_y", "centroid_x"),
    *("bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1", "touches_border"),
)
_COLUMNS_3D = (
    *("id", "class", "score", "area", "centroid_z", "centroid_y", "centroid_x"),
    *("bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1", "touches_border"),
)
_QUPATH_COLOURS = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))


def write_prediction(folder: Path, found: Segmentation, image: Volume) -> None:
    """Writes `labels.tif`, `objects.csv`, and for 2D images `coco.json` and `objects.geojson`.

    `area` is in µm² (µm³) where the voxel size is known, else in pixels (voxels); centroids and boxes are in
    pixels. The folder appears whole or not at all, and only an earlier prediction is ever replaced.

    Args:
        folder: one image's results.
        found: the objects.
        image: what they were found in.

    Raises:
        DataError: the folder holds something else, or may not be written to.
        ResourceError: the disk is full.
    """
    if folder.exists() and not (folder / "objects.csv").exists() and any(folder.iterdir()):
        raise DataError(folder, "the folder holds files that are no prediction", "choose another --out")
    table = measure(found.labels)
    unfinished = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
    try:
        write_labels(unfinished / "labels.tif", found.labels, voxel=image.voxel)
        _write_table(unfinished / "objects.csv", found, table, _unit(image.voxel, found.labels.ndim))
        if found.labels.ndim == 2:
            write_text(unfinished / "coco.json", json.dumps(_coco(found, table, image)))
            write_text(unfinished / "objects.geojson", json.dumps(_geojson(found, table)))
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unit(voxel: Voxel | None, dimensions: int) -> float:
    """µm² of a pixel or µm³ of a voxel; 1 where the size is not known."""
    if voxel is None:
        return 1.0
    if dimensions == 2:
        return voxel.area * 1e-6
    return 1.0 if voxel.z is None else voxel.area * voxel.z * 1e-9


def _write_table(path: Path, found: Segmentation, table: ObjectTable, unit: float) -> None:
    columns = COLUMNS if found.labels.ndim == 2 else _COLUMNS_3D
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for row, number in enumerate(table.ids):
            writer.writerow(
                [
                    int(number),
                    found.classes[number - 1],
                    f"{found.scores[number - 1]:.4f}",
                    f"{table.area[row] * unit:.6g}",
                    *(f"{place:.2f}" for place in table.centroid[row]),
                    *(int(edge) for edge in (*table.low[row], *table.high[row])),
                    int(table.touches_border[row]),
                ]
            )


def _coco(found: Segmentation, table: ObjectTable, image: Volume) -> dict[str, Any]:
    height, width = found.labels.shape
    names = _names(found.classes)
    annotations: list[dict[str, Any]] = []
    for row, (number, mask) in enumerate(crops(found.labels, table)):
        (top, left), (bottom, right) = table.low[row].tolist(), table.high[row].tolist()
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": names.index(found.classes[number - 1]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": int(table.area[row]),
                "segmentation": encode_rle(mask, top, left, (height, width)),
                "iscrowd": 0,
                "score": round(float(found.scores[number - 1]), 4),
            }
        )
    return {
        "images": [{"id": 1, "file_name": Path(image.uri).name, "height": height, "width": width}],
        "categories": [{"id": index, "name": name} for index, name in enumerate(names, start=1)],
        "annotations": annotations,
    }


def _geojson(found: Segmentation, table: ObjectTable) -> dict[str, Any]:
    names = _names(found.classes)
    features: list[dict[str, Any]] = []
    for row, (number, mask) in enumerate(crops(found.labels, table)):
        name = found.classes[number - 1]
        colour = list(_QUPATH_COLOURS[names.index(name) % len(_QUPATH_COLOURS)])
        ring = outline(mask, *_corner(table.low[row]))
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {
                    "objectType": "detection",
                    "classification": {"name": name, "color": colour},
                    "measurements": {"id": number, "score": round(float(found.scores[number - 1]), 4)},
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _names(classes: Sequence[str]) -> list[str]:
    return sorted(set(classes)) or ["cell"]


def _corner(low: Array) -> tuple[int, int]:
    return int(low[0]), int(low[1])
