"""What Lucchi++ and Kasthuri++ share: the archives of Casser et al., and the HDF5 files made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Record, Voxel
from morula.data.hdf5 import is_hdf5
from morula.data.labels import read_labels
from morula.data.open import open_volume
from morula.data.sets.layout import inside, not_found
from morula.data.sets.public_set import PublicSet
from morula.data.volumes import as_stack

__all__ = ["SPLITS", "located", "record", "stored"]

SPLITS = ("train", "test")

_SWAPPED = {"train": "test", "test": "train"}
"""torch-em writes its `*_train.h5` from `Test_In` and its `*_test.h5` from `Train_In`."""

_FOREGROUND = (1, 255)
"""255 in the published images; 1 in torch-em's files and in what is read of 1-bit images."""


@dataclass(frozen=True)
class _Foreground:
    path: Path
    image: str
    shape: tuple[int, ...]

    def __call__(self) -> Array:
        values = stored(self.path)
        if values.shape != self.shape:
            found = f"labels of shape {values.shape}, but the image {self.image} has {self.shape}"
            raise DataError(self.path, found, "get the set again")
        return np.isin(values, _FOREGROUND).astype(np.int32)


def located(public: PublicSet, root: Path, split: str) -> tuple[Path, Path]:
    """Where the image and the labels of a split are.

    Looked for are the published folders, `Train_In` and `Train_Out`; then torch-em's `lucchi_test.h5`, which
    holds the published training part; then `train_im.h5` and `train_mito.h5`.

    Args:
        public: the set.
        root: folder of the set, or any folder with one of these.
        split: `train` or `test`.

    Raises:
        DataError: none of these is there.
    """
    name = split.capitalize()
    folders = {path.name: path for path in root.rglob(f"{name}_*") if "__MACOSX" not in path.parts}
    if {f"{name}_In", f"{name}_Out"} <= set(folders):
        return folders[f"{name}_In"], folders[f"{name}_Out"]
    for path in inside(root, f"{public.name.removesuffix('_pp')}_{_SWAPPED[split]}.h5"):
        return Path(f"{path}:/raw"), Path(f"{path}:/labels")
    images, labels = inside(root, f"{split}_im.h5"), inside(root, f"{split}_mito.h5")
    if images and labels:
        return images[0], labels[0]
    raise not_found(public, root, f"{name}_In and {name}_Out")


def record(public: PublicSet, place: tuple[Path, Path], split: str, voxel: Voxel) -> Record:
    """The volume of a split with its mitochondria, 0 and 1.

    Args:
        public: the set.
        place: the image and the labels.
        split: `train` or `test`.
        voxel: its published size in nm.
    """
    path, labels = place
    image = replace(as_stack(open_volume(path)), voxel=voxel)
    name = f"{public.name}_{split}"
    return Record(name, image, _Foreground(labels, image.uri, image.shape), group=name)


def stored(labels: Path) -> Array:
    """The values of the labels `(z, y, x)` as they are stored, torch-em's -1 as well."""
    return open_volume(labels).read() if is_hdf5(labels) else read_labels(labels)
