"""Images and labels in, predictions out: whole files or an error that names the file and the fix."""

from morula.data.export import write_prediction
from morula.data.folder import list_images, load_records
from morula.data.labels import read_labels, write_labels
from morula.data.objects import ObjectTable, measure
from morula.data.open import open_volume

__all__ = [
    "ObjectTable",
    "list_images",
    "load_records",
    "measure",
    "open_volume",
    "read_labels",
    "write_labels",
    "write_prediction",
]
