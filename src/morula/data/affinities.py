"""Affinities in HDF5, with their offsets and what 1 means beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from morula.core.affinities import NEAREST, Affinities, Offset, Polarity, edge
from morula.core.errors import DataError, UsageError, times
from morula.core.files import atomic_path
from morula.core.types import Array
from morula.data.hdf5 import split_key
from morula.data.ome_zarr import is_ome_zarr
from morula.data.reading import check_file, reading

__all__ = ["channels_of", "read_affinities", "read_decoding", "write_affinities"]

_KEY = "affinities"
_MOST = 0.7  # of all neighbours may be apart
_DECODING = ("fragments", "smoothing", "linkage", "threshold")


def write_affinities(
    path: Path, affinities: Affinities, decoding: Mapping[str, str | float] | None = None
) -> None:
    """Writes the data set `affinities`, `(c, z, y, x)`, with attributes `offsets` and `polarity`.

    Args:
        path: an HDF5 file.
        affinities: of a volume.
        decoding: how neurons are made of them, as `read_decoding` gives it; more attributes.

    Raises:
        ResourceError: the disk is full.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        dataset: Any = file.create_dataset(_KEY, data=affinities.values, compression="lzf", shuffle=True)
        dataset.attrs["offsets"] = np.array(affinities.offsets)
        dataset.attrs["polarity"] = affinities.polarity
        dataset.attrs.update(decoding or {})


def read_affinities(
    path: Path, *, offsets: Sequence[Offset] | None = None, polarity: Polarity | None = None
) -> Affinities:
    """Reads a data set `(c, z, y, x)` of numbers in [0, 1], or of whole numbers up to 255 for 1.

    Whole numbers none of which is above 1 are 0 and 1. A channel whose offset points forwards says of a voxel
    what one that points backwards says of its partner, and is read as that one.

    Args:
        path: an HDF5 file, with `:/key` where it holds several such data sets.
        offsets: of the channels, where no attribute `offsets` tells them.
        polarity: what 1 means, in the place of the attribute `polarity`. Where both say the same it is
            believed, even if most neighbours are apart, as they are around a few small objects.

    Raises:
        DataError: no such file, not HDF5, cut short, no such data set, values or offsets that are none,
            another number of channels than offsets, or values that seem to mean the opposite of what is said.
        UsageError: nothing says what the channels are or what 1 means, or the file says other offsets.
    """
    values, told, kept = _read(path)
    said, polarity = polarity, polarity or kept
    if not values.size:
        raise DataError(path, f"no voxels: its shape is {times(values.shape)}", "give affinities of a volume")
    if offsets is None and told is None:
        found = f"nothing says where the partners of {len(values)} channels lie"
        raise UsageError("--offsets", found, "name the set of offsets, or store it as attribute offsets")
    if polarity is None:
        found = "nothing says whether 1 means the same object or a border"
        raise UsageError("--polarity", found, "give attractive or repulsive, or store it as an attribute")
    known = told if offsets is None else tuple(offsets)
    assert known is not None
    if len(known) != len(values):
        found = f"{len(values)} channels for {len(known)} offsets"
        raise DataError(path, found, "list one for each channel, as --offsets 'Z Y X; Z Y X; ...'")
    if told is not None and len(told) == len(values) and told != known:
        found = f"attribute offsets of {path} says others: {_listed(told)}"
        raise UsageError("--offsets", found, "leave it out, or mend the attribute if that is wrong")
    try:
        affinities = _backwards(_scaled(path, values), known, polarity)
    except ValueError as error:
        fix = "store the affinities to each neighbour once, and none to the voxel itself"
        raise DataError(path, f"{error}: {_listed(known)}", fix) from error
    if not set(NEAREST) <= set(affinities.offsets):
        fix = "neurons are made of the affinities to the three faces; store these, too"
        raise DataError(path, "no channel tells of the next voxel along every axis", fix)
    if said is None or said != kept:
        _check_meaning(path, affinities, "the file" if said is None else "--polarity")
    return affinities


def channels_of(path: Path) -> int:
    """How many channels affinities have.

    Args:
        path: as `read_affinities` takes it.

    Raises:
        DataError: no such file, not HDF5, or no such data set.
    """
    with _opened(path) as dataset:
        return int(dataset.shape[0])


def read_decoding(path: Path) -> dict[str, str | float]:
    """How neurons are to be made of affinities, as far as the file says.

    Args:
        path: as `read_affinities` takes it.

    Returns:
        What is there of `fragments` (`sections` or `volume`), `smoothing` in voxels, `linkage`, and
        `threshold`, the one minus affinity below which fragments are joined. Words are not looked at.

    Raises:
        DataError: no such file, not HDF5, no such data set, or one of the numbers is none.
    """
    with _opened(path) as dataset:
        attributes = dataset.attrs
        told = {each: _text(attributes[each]) for each in _DECODING if each in attributes}
    for each, most in (("smoothing", np.inf), ("threshold", 1.0)):
        if each in told:
            told[each] = _number(path, each, told[each], most)
    return told


def _number(path: Path, name: str, stored: Any, most: float) -> float:
    value = np.asarray(stored)
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 <= value.item() <= most:
        found = f"attribute {name} holds {stored!r}"
        raise DataError(path, found, "store one number" + (" from 0 to 1" if most == 1 else ", not below 0"))
    return float(value.item())


def _read(path: Path) -> tuple[Array, tuple[Offset, ...] | None, Polarity | None]:
    with _opened(path) as dataset:
        stated = np.asarray(dataset.attrs.get("offsets", ()))
        meaning = _text(dataset.attrs.get("polarity"))
        values: Array = dataset[()]
    offsets = None
    if stated.ndim == 2 and stated.shape[1] == 3:
        if stated.dtype.kind not in "iuf" or np.any(np.mod(stated, 1) != 0):
            found = f"attribute offsets holds {stated.tolist()}"
            raise DataError(path, found, "store whole numbers of voxels")
        offsets = tuple((int(z), int(y), int(x)) for z, y, x in stated.tolist())
    if meaning == "attractive" or meaning == "repulsive":
        return values, offsets, meaning
    return values, offsets, None


def _text(stored: Any) -> Any:
    """An attribute of text, which HDF5 may hold as bytes of a fixed length."""
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The data set, for as long as the block."""
    name, key = split_key(path)
    if is_ome_zarr(name) and name.exists():
        raise DataError(path, "a Zarr store, but affinities are read from HDF5 alone", "save them as HDF5")
    check_file(name, "HDF5")
    with reading(name, "HDF5 file"), h5py.File(name, "r") as file:
        yield _dataset(path, file, key)


def _dataset(path: Path, file: Any, key: str) -> Any:
    """The data set of this key, or the only one with four axes."""
    found: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 4:
            found.append(item)

    file.visititems(visit)
    there = [item for item in found if not key or item.name == key]
    if len(there) != 1:
        names = ", ".join(str(item.name) for item in found) or "none"
        asked = f" {key}" if key else ""
        told = f"{len(there) or 'no'} data sets{asked} with axes c, z, y, x; there are {names}"
        raise DataError(path, told, f"name one, as {split_key(path)[0].name}:/key")
    return there[0]


def _scaled(path: Path, values: Array) -> Array:
    if values.dtype.kind not in "uif":
        raise DataError(path, f"affinities of type {values.dtype}", "give numbers from 0 to 1, or 0 to 255")
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "ui" and high > 1
    most = 255.0 if whole else 1.0
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > most:
        found = f"affinities from {low:.4g} to {high:.4g}"
        raise DataError(path, found, "give numbers from 0 to 1, or whole ones from 0 to 255")
    return values.astype(np.float32) / np.float32(255) if whole else values


def _backwards(values: Array, offsets: tuple[Offset, ...], polarity: Polarity) -> Affinities:
    """With every channel that points forwards moved, in place, to the voxels that its pairs end at."""
    turned = list(offsets)
    for channel, (z, y, x) in enumerate(offsets):
        if (z, y, x) > (0, 0, 0):
            turned[channel] = -z, -y, -x
            here, there = edge(turned[channel], values.shape[1:])
            moved = np.full(values.shape[1:], polarity == "repulsive", values.dtype)
            moved[here] = values[channel][there]
            values[channel] = moved
    return Affinities(values, tuple(turned), polarity)


def _listed(offsets: Sequence[Offset]) -> str:
    """Offsets as `--offsets` takes them."""
    return "; ".join(" ".join(map(str, each)) for each in offsets)


def _check_meaning(path: Path, affinities: Affinities, source: str) -> None:
    """In dense labels neighbours belong together nearly everywhere; not so around a few small objects."""
    apart = 1 - float(np.mean(affinities.attractive().nearest().values, dtype=np.float64))
    if apart <= _MOST:
        return
    meant = affinities.polarity
    other = "repulsive" if meant == "attractive" else "attractive"
    agree = f"add --polarity {meant}" if source == "the file" else f"store attribute polarity {meant}, too"
    found = f"read as {meant}, as {source} says, {apart:.0%} of all neighbours are apart"
    fix = f"if the numbers mean the opposite, give --polarity {other}; if not, {agree}"
    raise DataError(path, found, fix)
