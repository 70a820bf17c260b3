"""What the sets of neurons share: a volume, and a number for each neuron in files of its size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from morula.core.errors import DataError, times
from morula.core.types import Array, Record, Voxel
from morula.data.open import open_volume
from morula.data.volumes import as_stack, read_label_stack

__all__ = ["record"]


@dataclass(frozen=True)
class _Neurons:
    path: Path
    image: str
    shape: tuple[int, ...]

    def __call__(self) -> Array:
        labels = read_label_stack(self.path)
        if labels.shape != self.shape:
            found = f"labels of {times(labels.shape)}, but the image {self.image} is {times(self.shape)}"
            raise DataError(self.path, found, "get the set again")
        return labels


def record(name: str, group: str, image: Path, labels: Path | None, voxel: Voxel) -> Record:
    """A volume with its neurons, if they are known; the labels are read when they are asked for.

    Args:
        name: of the record.
        group: of volumes of the same tissue.
        image: the volume.
        labels: its labels.
        voxel: published size of a voxel in nm.
    """
    volume = replace(as_stack(open_volume(image)), voxel=voxel)
    opener = None if labels is None else _Neurons(labels, volume.uri, volume.shape)
    return Record(name, volume, opener, group=group)
