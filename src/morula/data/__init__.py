"""Images and labels in, predictions out: whole files or an error that names the file and the fix."""

from morula.data.alignment import Alignment, align, refuse_mirrored
from morula.data.capsules import draw_tree
from morula.data.export import write_objects, write_prediction
from morula.data.folder import list_images, load_records
from morula.data.label_block import load_block
from morula.data.labels import predicted_labels, read_labels, write_labels
from morula.data.masks import is_mask, read_mask, to_mask
from morula.data.objects import ObjectTable, measure
from morula.data.ome_zarr import open_ome_zarr
from morula.data.open import open_volume
from morula.data.predicted import made_with, read_prediction
from morula.data.swc import SwcFile, read_swc, write_swc
from morula.data.traced import is_traced, load_traced
from morula.data.traces import write_traces
from morula.data.vaa3d import write_v3dpbd, write_v3draw
from morula.data.volumes import list_volumes, load_volumes

__all__ = [
    "Alignment",
    "ObjectTable",
    "SwcFile",
    "align",
    "draw_tree",
    "is_mask",
    "is_traced",
    "list_images",
    "list_volumes",
    "load_block",
    "load_records",
    "load_traced",
    "load_volumes",
    "made_with",
    "measure",
    "open_ome_zarr",
    "open_volume",
    "predicted_labels",
    "read_labels",
    "read_mask",
    "read_prediction",
    "read_swc",
    "refuse_mirrored",
    "to_mask",
    "write_labels",
    "write_objects",
    "write_prediction",
    "write_swc",
    "write_traces",
    "write_v3dpbd",
    "write_v3draw",
]
