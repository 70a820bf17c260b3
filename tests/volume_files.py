"""One small volume and its mask, in every format that volumes have, and how tests read them."""

from __future__ import annotations

from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tifffile
from PIL import Image

from morula.core.types import Array, Record
from morula.data import load_volumes

__all__ = [
    "GREY",
    "MASK",
    "STACK",
    "labels_of",
    "one",
    "write_hdf5",
    "write_mrc",
    "write_sections",
    "write_tiff",
]

STACK = np.random.default_rng(3).integers(0, 256, (11, 20, 24), dtype=np.uint8)
MASK = np.zeros_like(STACK)
MASK[2:5, 3:9, 4:9] = 1
GREY = {"photometric": "minisblack"}


def write_hdf5(path: Path, **arrays: Array) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
    return path


def write_mrc(path: Path, array: Array) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(array)
    return path


def write_sections(folder: Path, stack: Array, name: str = "s{}.png") -> Path:
    folder.mkdir()
    for number, section in enumerate(stack):
        Image.fromarray(section).save(folder / name.format(number))
    return folder


def write_tiff(path: Path, array: Array = STACK) -> Path:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, array, **GREY)
    return path


def one(images: Path, labels: Path | None = None, **options: object) -> Record:
    ((record,), errors) = load_volumes(images, labels, **options)
    assert errors == []
    return record


def labels_of(record: Record) -> Array:
    assert record.labels is not None
    return record.labels()
