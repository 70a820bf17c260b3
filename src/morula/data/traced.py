"""Stacks with traced neurons, as checked records: each SWC file fits its stack, or an error says why not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from morula.core.errors import DataError, UsageError
from morula.core.tree import Tree
from morula.core.types import Array, Record, Volume, Voxel, VoxelSize
from morula.data.alignment import Alignment, align, is_dark, refuse_mirrored
from morula.data.folder import first_of
from morula.data.listing import of_kinds, visible, what_else
from morula.data.swc import SUFFIXES, SwcFile, read_swc
from morula.data.volumes import list_volumes, load_volumes, volume_id

__all__ = [
    "KnownTrace",
    "check_sections",
    "from_micrometres",
    "is_traced",
    "load_traced",
    "named_repairs",
    "trace_inside",
    "trees_inside",
]

_OUTSIDE = 3.0  # voxels that a node may lie outside of its stack: tracing tools extrapolate a little
_BRIGHTER = 1.5  # times must a trace be in micrometres than in voxels to be taken so
_NAMED = 3  # files without a stack
_FLAT = 2  # sections; fewer make no stack


def is_traced(labels: Path) -> bool:
    """Whether a path names traced neurons: an SWC file, or a folder with some."""
    if labels.is_dir():
        return bool(of_kinds(visible(labels), SUFFIXES))
    return labels.suffix.lower() in SUFFIXES


def load_traced(
    images: str | PathLike[str],
    labels: str | PathLike[str],
    *,
    suffix: str = "",
    voxel: VoxelSize = None,
    skip_bad: bool = False,
) -> tuple[list[Record], list[DataError]]:
    """Opens stacks and the traced neurons of some of them, and checks that these lie in their stacks.

    A stack belongs to the SWC file of its name, with `suffix` behind it (`a.tif`, `a_gold.swc`); one stack
    and one file belong together. Stacks without a trace stay in as records without one.

    Args:
        images: a stack or a folder of stacks (see `load_volumes`); SWC files among them do not matter.
        labels: an SWC file or a folder of them.
        suffix: what the name of an SWC file has behind the name of its stack.
        voxel: size of a voxel in nm, in place of what the files say.
        skip_bad: leave bad stacks and traces out, in place of refusing all.

    Returns:
        The records, `trace` a `KnownTrace` that gives the tree in voxels; and the errors of those left out,
        at the end one of the SWC files that belong to no stack.

    Raises:
        DataError: a stack or an SWC file cannot be used, they do not fit, or two files belong to one stack.
        UsageError: a trace may be in micrometres, and no voxel size is known.
    """
    records, errors = load_volumes(images, voxel=voxel, skip_bad=skip_bad)
    partners = _partners(records, Path(labels), suffix)
    checked: list[Record] = []
    for record in records:
        try:
            checked.append(_checked(record, partners.get(record.id)))
        except DataError as error:
            errors.append(error)
    if errors and not skip_bad:
        raise first_of(errors, len(records)) from errors[0]
    if not any(record.trace for record in checked):
        if errors:
            raise errors[0]
        raise DataError(labels, "no trace belongs to any of the stacks", "name them alike")
    stems = {f"{volume_id(path)}{suffix}" for path in list_volumes(images)}
    orphans = [path for path in _files(Path(labels)) if volume_id(path) not in stems]
    if orphans and not (len(partners) == len(_files(Path(labels))) == 1):
        more = f" and {len(orphans) - _NAMED} more" if len(orphans) > _NAMED else ""
        found = f"{', '.join(path.name for path in orphans[:_NAMED])}{more}: no stack is of this name"
        fix = f"name each SWC file like its stack{f' and {suffix}' if suffix else ''}"
        errors.append(DataError(labels, found, fix))
    return checked, errors


@dataclass(frozen=True)
class KnownTrace:
    """A tree that was read already; a class, so that records travel to worker processes.

    Attributes:
        tree: in voxels.
        repairs: what was mended in its file, one sentence each, with the names of file and line.
    """

    tree: Tree
    repairs: tuple[str, ...] = ()

    def __call__(self) -> Tree:
        """The tree."""
        return self.tree


def trace_inside(path: Path, volume: Volume) -> KnownTrace:
    """The trace of an SWC file in voxels of its stack, by the boxes of both; no voxel is read.

    It is taken to be in voxels where it fits so, else in micrometres.

    Raises:
        DataError: it cannot be read, or a node lies outside of the stack.
        UsageError: the same, and it may be in micrometres of voxels of unknown size.
    """
    found = read_swc(path)
    inside = trees_inside(found, volume)
    if not inside:
        raise _does_not_fit(found, path, volume)
    return KnownTrace(inside[0], named_repairs(path, found))


def trees_inside(found: SwcFile, volume: Volume) -> list[Tree]:
    """What of an SWC file lies inside its stack: the tree in voxels, the one in micrometres, both or none."""
    units = (found.tree, from_micrometres(found.tree, volume.voxel))
    shape = np.array(volume.spatial_shape)
    return [tree for tree in units if tree is not None and _outside(tree, shape) is None]


def named_repairs(path: Path, found: SwcFile) -> tuple[str, ...]:
    """What was mended in an SWC file, each sentence with its name before it."""
    return tuple(f"{path.name}: {told}" for told in found.repairs)


def _files(labels: Path) -> list[Path]:
    return of_kinds(visible(labels), SUFFIXES) if labels.is_dir() else [labels]


def _partners(records: Sequence[Record], labels: Path, suffix: str) -> dict[str, Path]:
    """The SWC file of each stack that has one."""
    files = _files(labels)
    if not files:
        raise DataError(labels, what_else(visible(labels), "traces"), "put .swc files in it")
    if len(records) == len(files) == 1:
        return {records[0].id: files[0]}
    names = {f"{record.id}{suffix}": record.id for record in records}
    partners: dict[str, Path] = {}
    for path in files:
        name = names.get(volume_id(path))
        if name is None:
            continue
        if name in partners:
            found = f"a second trace of {name}, beside {partners[name].name}"
            raise DataError(path, found, "remove one of the two")
        partners[name] = path
    if not partners:
        wanted = f"{records[0].id}{suffix}"
        found = f"none of its {len(files)} files is named after a stack ({files[0].name}, not {wanted})"
        raise DataError(labels, found, _named_alike([volume_id(file) for file in files], records, suffix))
    return partners


def _named_alike(stems: Sequence[str], records: Sequence[Record], suffix: str) -> str:
    """How names of SWC files that fit no stack are made to fit; a suffix does not begin within a word."""
    names = [record.id for record in records]
    if suffix and not set(names).isdisjoint(stems):
        return "leave --label-suffix out"
    rests = [stem.removeprefix(name) for stem in stems for name in names if stem.startswith(name)]
    ends = [rest for rest in rests if rest and not rest[0].isalnum()]
    if ends:
        return f"give --label-suffix {shlex.quote(min(ends, key=len))}"
    return f"name each SWC file like its stack{f', with {suffix} behind it' if suffix else ''}"


def check_sections(stack: Volume) -> None:
    """Refuses a stack of one section.

    Raises:
        DataError: there is one section only.
    """
    sections = stack.shape[0]
    if sections < _FLAT:
        found = f"{sections} section: a neuron cannot be followed in one slice"
        raise DataError(stack.uri, found, "give a stack of sections, z y x")


def _checked(record: Record, path: Path | None) -> Record:
    check_sections(record.image)
    image = record.image.read()
    if image.min() == image.max():
        found = f"every voxel is {image.flat[0]}"
        raise DataError(record.image.uri, found, "export the stack again")
    if path is None:
        return record
    found = read_swc(path)
    if not found.tree.length:
        told = f"{len(found.tree)} node(s) from line {min(found.lines)} on, and none is joined to another"
        raise DataError(path, told, "trace the neuron along its branches, or leave the file out")
    tree = _in_voxels(found, path, record.image, image)
    return replace(record, trace=KnownTrace(tree, named_repairs(path, found)))


def _in_voxels(found: SwcFile, path: Path, volume: Volume, image: Array) -> Tree:
    """The tree in voxels, of a file in voxels or in micrometres."""
    tree, shape = found.tree, np.array(volume.shape)
    scaled = from_micrometres(tree, volume.voxel)
    as_voxels = align(tree, image) if _outside(tree, shape) is None else None
    if scaled is not None and _outside(scaled, shape) is None:
        as_lengths = align(scaled, image)
        if as_voxels is None or as_lengths.brightness > _BRIGHTER * as_voxels.brightness:
            _refuse_dark(as_lengths, found, path, volume, image)
            _refuse_misplaced(as_lengths, path, has_size=True)
            return scaled
    if as_voxels is None:
        raise _does_not_fit(found, path, volume)
    _refuse_dark(as_voxels, found, path, volume, image)
    _refuse_misplaced(as_voxels, path, has_size=scaled is not None)
    return tree


def _refuse_dark(alignment: Alignment, found: SwcFile, path: Path, volume: Volume, image: Array) -> None:
    """Refuses a neuron that is dark on a bright field, in whichever unit its trace may be."""
    if not alignment.stands_out and any(is_dark(tree, image) for tree in trees_inside(found, volume)):
        told = f"the neuron is darker than its surroundings in {Path(volume.uri).name}"
        raise DataError(path, told, "invert the stack (Fiji: Edit > Invert), so that it is bright on dark")


def _refuse_misplaced(alignment: Alignment, path: Path, *, has_size: bool) -> None:
    """Refuses a trace that is mirrored, or in the dark: without a voxel size it may be in micrometres."""
    if has_size or alignment.stands_out:
        refuse_mirrored(path, alignment)
    if alignment.stands_out:
        return
    told = "the trace runs where the stack is dark"
    if has_size:
        raise DataError(path, told, "check that it belongs to this stack, x y z in voxels or micrometres")
    fix = "if it is in micrometres, give --voxel-size Z Y X in nm"
    if alignment.mirrored:
        told += f", but not if it is mirrored along {' and '.join(alignment.mirrored)}"
        fix += "; else flip the trace or the stack"
    raise UsageError(path, told, fix)


def from_micrometres(tree: Tree, size: Voxel | None) -> Tree | None:
    """A tree in micrometres in voxels of some size, None where that is not known."""
    if size is None or size.z is None:
        return None
    return tree.scaled([1000 / size.z, 1000 / size.y, 1000 / size.x])


def _outside(tree: Tree, shape: Array) -> int | None:
    """Row of the first node that lies too far outside."""
    beyond = np.maximum(-tree.points, tree.points - (shape - 1)).max(axis=1) > _OUTSIDE
    return int(beyond.argmax()) if beyond.any() else None


def _does_not_fit(found: SwcFile, path: Path, volume: Volume) -> DataError | UsageError:
    row = _outside(found.tree, np.array(volume.shape))
    assert row is not None
    z, y, x = found.tree.points[row]
    size = " x ".join(map(str, volume.shape))
    told = (
        f"line {found.lines[row]} puts a node at x {x:g}, y {y:g}, z {z:g}, outside of {size} voxels (z y x)"
    )
    if volume.voxel is None or volume.voxel.z is None:
        fix = (
            "if the file is in micrometres, give --voxel-size Z Y X in nm; else check that it fits the stack"
        )
        return UsageError(path, told, fix)
    return DataError(path, told, "check that it belongs to this stack, x y z in voxels or micrometres")
