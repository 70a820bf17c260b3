"""Reading, checking and writing images, labels and tables; no torch."""

from morula.data.export import write_prediction
from morula.data.folder import list_images, load_records
from morula.data.labels import read_labels, write_labels
from morula.data.open import open_volume

__all__ = ["list_images", "load_records", "open_volume", "read_labels", "write_labels", "write_prediction"]
