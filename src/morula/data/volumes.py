"""Volumes for recipes that work on sections or in 3D, with or without labels, as checked records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from morula.core.errors import DataError, times
from morula.core.types import Array, ArraySource, Axes, Domain, Record, Volume, VoxelSize
from morula.data import hdf5, mrc, vaa3d
from morula.data.folder import check_unique, first_of
from morula.data.labels import read_labels
from morula.data.listing import of_kinds, visible, what_else
from morula.data.ome_zarr import is_ome_zarr
from morula.data.open import IMAGE_SUFFIXES, VOLUME_SUFFIXES, open_volume, read_header
from morula.data.reading import image_id
from morula.data.turned import Stored, places, turned

__all__ = ["as_stack", "list_volumes", "load_volumes", "read_label_stack", "volume_id"]

_IMAGE_WORDS = frozenset({"raw", "im", "img", "image", "images", "em", "grey", "gray", "volume"})
_LABEL_WORDS = frozenset(
    {"mito", "mitochondria", "label", "labels", "mask", "masks", "seg", "gt", "groundtruth"}
)
_SLAB = 2**27
"""Bytes read at once when a volume is checked."""


def load_volumes(
    images: str | PathLike[str],
    labels: str | PathLike[str] | None = None,
    *,
    voxel: VoxelSize = None,
    stored: Stored = "zyx",
    domain: Domain = "target",
    skip_bad: bool = False,
) -> tuple[list[Record], list[DataError]]:
    """Opens volumes and their labels and reads each once to the last voxel: no later step meets a bad one.

    What a path means, for images and labels alike:

    * a file (multi-page TIFF, MRC, `file.h5:/key`) is one volume; a single 2D image has one section;
    * an OME-Zarr image (`a.ome.zarr`, or something in it) is one volume;
    * a folder of volume files (multi-page TIFF, HDF5, MRC) is one volume a file;
    * a folder of 2D images is one volume, its sections in natural order, named after the folder;
    * a folder with both is refused.

    One volume and one label volume belong together. Several are paired by their names without extension,
    first whole, then without words such as `raw`, `im`, `image` or `mito`, `label`, `mask` at either end
    (`a_raw.tif` with `a_mito.h5`, `train_im.h5` with `train_label.tif`). Volumes without labels stay in as
    unlabelled records, labels without a volume are an error.

    Args:
        images: the volumes.
        labels: their labels, None where there are none.
        voxel: size of a voxel in nm, in place of what the files say (`Volume.sized`);
            `open_volume(record.image.uri).voxel` has what a file says.
        stored: the order of the axes in the files, of volumes and labels alike, where it is not z, y, x.
        domain: the role of all these volumes in domain adaptation.
        skip_bad: leave bad volumes out, in place of refusing all.

    Returns:
        The records in natural order of their files, each image grey with axes `zyx`, each label array
        `(z, y, x)` int32; and the errors of those left out.

    Raises:
        DataError: a bad volume (without `skip_bad`), no good one, two of one name, labels that do not fit.
    """
    paths = list_volumes(images)
    check_unique(paths, volume_id)
    partners = _partners(Path(images), paths, Path(labels)) if labels is not None else {}
    records: list[Record] = []
    errors: list[DataError] = []
    for path in paths:
        try:
            records.append(_record(path, partners.get(path), voxel, stored, domain))
        except DataError as error:
            errors.append(error)
    if errors and not (skip_bad and records):
        raise first_of(errors, len(paths)) from errors[0]
    return records, errors


def list_volumes(path: str | PathLike[str]) -> list[Path]:
    """What each volume of a path is opened from, by the rules of `load_volumes`.

    Raises:
        DataError: no volume in the folder, volumes beside single sections, or no permission.
    """
    path = Path(path)
    if is_ome_zarr(path) or not path.is_dir():
        return [path]
    inside = visible(path)
    files = of_kinds(inside, VOLUME_SUFFIXES)
    if not files:
        fix = f"put {', '.join(VOLUME_SUFFIXES)} files in it"
        if any(of_kinds(visible(each), IMAGE_SUFFIXES) for each in inside if each.is_dir()):
            fix = "save the sections in each subfolder as one TIFF stack, or name one of the subfolders"
        raise DataError(path, what_else(inside, "volumes"), fix)
    sections = {file: _is_section(file) for file in files}
    volumes = [file for file in files if not sections[file]]
    single = next((file for file in files if sections[file]), None)
    stack = next((file for file in files if sections[file] is False), None)
    if single and stack:
        found = f"volumes beside single sections ({stack.name} and {single.name})"
        raise DataError(path, found, "put the sections of each stack in a folder of its own")
    return volumes if stack or not single else [path]


def volume_id(path: Path) -> str:
    """A volume's name: the file's or the folder's, without the extension and the key of HDF5.

    >>> volume_id(Path("data/sample_A.h5:/volumes/raw"))
    'sample_A'
    >>> volume_id(Path("data/sample_A.ome.zarr/labels/mito"))
    'sample_A'
    """
    if is_ome_zarr(path):
        store = next(each for each in (path, *path.parents) if each.suffix.lower() == ".zarr")
        return image_id(store)
    return path.resolve().name if path.is_dir() else image_id(hdf5.split_key(path)[0])


def as_stack(volume: Volume) -> Volume:
    """The same grey values with axes `zyx`: a 2D image has one section, equal colours are one channel.

    Raises:
        DataError: several channels that are not red, green, blue; or when read, colours that differ.
    """
    if volume.axes.order == "zyx":
        return volume
    if not (volume.is_rgb or volume.channels == ("grey",)):
        found = f"{len(volume.channels)} channels ({', '.join(volume.channels)})"
        raise DataError(volume.uri, found, "save the channel to segment as a file of its own")
    source = _GreyStack(volume.source, volume.is_rgb, volume.uri)
    return replace(volume, source=source, axes=Axes("zyx"), channels=("grey",))


@dataclass(frozen=True)
class _GreyStack:
    """A source with colours or without a z axis, seen as grey sections."""

    source: ArraySource
    coloured: bool
    uri: str

    @property
    def shape(self) -> tuple[int, ...]:
        spatial = tuple(self.source.shape)[int(self.coloured) :]
        return spatial if len(spatial) == 3 else (1, *spatial)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.source.dtype)

    def __getitem__(self, key: Any, /) -> Array:
        array = np.asarray(self.source[...])
        if self.coloured:
            if not (array == array[:1]).all():
                found = "colour channels that differ"
                raise DataError(self.uri, found, "save it as grey, or the channel to segment alone")
            array = array[0]
        return array.reshape(self.shape)[key]


@dataclass(frozen=True)
class _Labels:
    """Reads the labels of one volume; picklable, so that records travel to worker processes."""

    path: Path
    image: str
    shape: tuple[int, ...]
    stored: Stored

    def __call__(self) -> Array:
        stack = read_label_stack(self.path, self.stored)
        if stack.shape != self.shape:
            found = f"labels of {times(stack.shape)}, but the image {self.image} is {times(self.shape)}"
            raise DataError(self.path, found, "give labels of the same size as the image, z, y, x")
        return stack


def read_label_stack(path: Path, stored: Stored = "zyx") -> Array:
    """Labels `(z, y, x)` of a file that holds its axes in the order `stored`; a 2D one has one section."""
    labels = read_labels(path)
    return (labels if labels.ndim == 3 else labels[None]).transpose(places(stored))


def _record(path: Path, labels: Path | None, voxel: VoxelSize, stored: Stored, domain: Domain) -> Record:
    image = turned(as_stack(open_volume(path)), stored).sized(voxel)
    _read_through(image)
    name = volume_id(path)
    opener = _Labels(labels, image.uri, image.shape, stored) if labels is not None else None
    if opener is not None:
        opener()
    return Record(name, image, opener, domain=domain, group=name)


def _read_through(image: Volume) -> None:
    """Reads all voxels, so that damage shows, without keeping more than two slabs of them.

    Each is held until the next one is read: a file that is only decoded as a whole is decoded once.
    """
    sections, height, width = image.shape
    step = max(1, _SLAB // (height * width * image.dtype.itemsize))
    for _held in (image[start : start + step] for start in range(0, sections, step)):
        pass


def _is_section(path: Path) -> bool | None:
    """Whether a file is a single 2D image, None where it cannot be read."""
    if path.suffix.lower() in (*hdf5.SUFFIXES, *mrc.SUFFIXES, *vaa3d.SUFFIXES):
        return False
    try:
        return read_header(path).axes.spatial == "yx"
    except DataError:
        return None


def _partners(folder: Path, images: Sequence[Path], labels: Path) -> dict[Path, Path]:
    """The label volume of each image that has one."""
    if folder.is_dir() and labels.is_dir() and folder.resolve() == labels.resolve():
        fix = "put the labels in a folder of their own, or name one file of each"
        raise DataError(labels, "the same folder for the images and their labels", fix)
    found = list_volumes(labels)
    if len(images) == len(found) == 1:
        return {images[0]: found[0]}
    check_unique(found, volume_id)
    partners: dict[Path, Path] = {}
    orphans: list[Path] = []
    for path in found:
        fits = _fitting(path, images)
        if len(fits) > 1:
            names = " and ".join(image.name for image in fits[:2])
            raise DataError(path, f"labels that fit {names}", "name each label file like its volume")
        for image in fits:
            other = partners.setdefault(image, path)
            if other != path:
                raise DataError(path, f"labels for {image.name}, as {other.name}", "remove one of the two")
        orphans += [] if fits else [path]
    if orphans:
        raise _unpaired(labels, orphans, [path for path in images if path not in partners])
    return partners


def _fitting(label: Path, images: Sequence[Path]) -> list[Path]:
    name = volume_id(label)
    same = [image for image in images if volume_id(image) == name]
    base = _without(name, _LABEL_WORDS)
    return same or [image for image in images if _without(volume_id(image), _IMAGE_WORDS) == base]


def _without(name: str, words: Iterable[str]) -> tuple[str, ...]:
    """The parts of a name, without `words` at either end."""
    parts = [part for part in re.split(r"[_\-. ]+", name.lower()) if part]
    while parts and parts[-1] in words:
        parts.pop()
    while parts and parts[0] in words:
        parts.pop(0)
    return tuple(parts)


def _unpaired(labels: Path, orphans: Sequence[Path], alone: Sequence[Path]) -> DataError:
    found = f"labels without a volume: {_names(orphans)}"
    found += f"; volumes without labels: {_names(alone)}" if alone else ""
    fix = "name each label file like its volume (a_raw.tif with a_mito.tif), or move the others away"
    return DataError(labels, found, fix)


def _names(paths: Sequence[Path]) -> str:
    told = ", ".join(volume_id(path) for path in paths[:3])
    return told + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
