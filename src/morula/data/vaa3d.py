"""Vaa3D's stacks: `.v3draw`, memory-mapped, and `.v3dpbd`, its run-length and difference code.

Of a `.v3dpbd` all has to be decoded to know any voxel. PBD8 and PBD16 hold every voxel exactly. PBD3 holds
eight levels between the least and the greatest value of each channel; where a stack ends with literals,
Vaa3D's writer leaves these out, so that some such files lack their last voxels and are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path

import numpy as np

from morula.core.errors import DataError, UsageError, times
from morula.core.files import atomic_path
from morula.core.types import Array, Axes
from morula.data.pbd import PBD3, PBD8, PBD16, Code, pack, unpack
from morula.data.reading import Header, reading

__all__ = ["SUFFIXES", "decode", "header", "part", "write_v3dpbd", "write_v3draw"]

SUFFIXES = (".v3draw", ".vaa3draw", ".raw5d", ".v3dpbd")

_RAW, _RAW5, _PBD = b"raw_image_stack_by_hpeng", b"raw5image_stack_by_hpeng", b"v3d_volume_pkbitdf_encod"
_TYPES = {1: "u1", 2: "u2", 4: "f4"}
_PACKED = {1: "u1", 2: "u2", 33: "u1"}
_CODES = {1: PBD8, 2: PBD16, 33: PBD3}


@dataclass(frozen=True)
class _Layout:
    """Where the voxels are.

    Attributes:
        shape: `(c, z, y, x)`, or `(z, y, x)` of one channel.
        dtype: as stored, with its byte order.
        start: first byte of the voxels.
        code: of the voxels, None where they are not coded.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    code: Code | None


def header(path: Path) -> Header:
    """Size and type of a stack.

    Raises:
        DataError: not of Vaa3D, cut short, several time points, or a kind of voxels that is not read.
    """
    found = _layout(path)
    alone = len(found.shape) == 3
    names = ("grey",) if alone else tuple(f"channel {number + 1}" for number in range(found.shape[0]))
    return Header(
        found.shape,
        found.dtype.newbyteorder("="),
        Axes("zyx" if alone else "czyx"),
        names,
        in_parts=found.code is None,
    )


def decode(path: Path, *, indices: bool = False) -> Array:
    """The whole stack.

    Args:
        path: the file.
        indices: has no effect: these files have no palettes.

    Raises:
        DataError: the file is damaged or cut short.
    """
    found = _layout(path)
    if found.code is not None:
        return _decoded(path, found, found.code)
    return np.array(_mapped(path, found), dtype=found.dtype.newbyteorder("="))


def part(path: Path, box: tuple[slice, ...]) -> Array | None:
    """The voxels of a box; None where all has to be decoded.

    Raises:
        DataError: the file is damaged or cut short.
    """
    found = _layout(path)
    if found.code is not None:
        return None
    return np.array(_mapped(path, found)[box], dtype=found.dtype.newbyteorder("="))


def write_v3draw(path: str | PathLike[str], stack: Array) -> None:
    """Writes a stack as Vaa3D's `.v3draw` with four sizes, little endian; whole or not at all.

    Args:
        path: the file.
        stack: `(z, y, x)` or `(c, z, y, x)`, uint8, uint16 or float32.

    Raises:
        UsageError: an array of another kind.
        ResourceError: the disk is full.
    """
    start, voxels = _prepared(path, stack, _RAW, _TYPES)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        stream.write(start)
        stream.write(voxels.data)


def write_v3dpbd(path: str | PathLike[str], stack: Array) -> None:
    """Writes a stack as Vaa3D's `.v3dpbd`, which loses nothing; whole or not at all.

    uint8 becomes PBD8, uint16 PBD16 with the differences of three bits that Vaa3D knows, little endian.

    Args:
        path: the file.
        stack: `(z, y, x)` or `(c, z, y, x)`, uint8 or uint16.

    Raises:
        UsageError: an array of another kind.
        ResourceError: the disk is full.
    """
    start, voxels = _prepared(path, stack, _PBD, {1: "u1", 2: "u2"})
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        stream.write(start)
        stream.writelines(pack(voxels.reshape(-1), _CODES[voxels.itemsize]))


def _prepared(
    path: str | PathLike[str], stack: Array, key: bytes, kinds: Mapping[int, str]
) -> tuple[bytes, Array]:
    """The header of a stack, and its voxels in the order and the bytes of a file."""
    code = next((code for code, kind in kinds.items() if stack.dtype.newbyteorder("=") == kind), None)
    if code is None or stack.ndim not in (3, 4) or not stack.size:
        found = f"an array of {times(stack.shape)} {stack.dtype}"
        known = " or ".join(np.dtype(kind).name for kind in kinds.values())
        raise UsageError(path, found, f"give axes z, y, x or c, z, y, x, and {known}")
    sizes = ((1,) * (4 - stack.ndim) + stack.shape)[::-1]
    voxels = np.ascontiguousarray(stack, np.dtype(f"<{kinds[code]}"))
    return key + b"L" + struct.pack("<h4i", code, *sizes), voxels


def _decoded(path: Path, found: _Layout, code: Code) -> Array:
    channels, total = prod(found.shape[:-3]), prod(found.shape)
    with reading(path, "Vaa3D file"), path.open("rb") as file:
        file.seek(found.start)
        ranges = file.read(2 * channels) if code is PBD3 else b""
        stream = file.read()
    array, count = unpack(stream, code, found.shape, found.dtype)
    if count < total:
        told = f"the code ends after {count:,} of {total:,} voxels"
        lost = (
            ", or save the original as 8 or 16 bit, as Vaa3D leaves out the last voxels of some 3 bit stacks"
        )
        raise DataError(path, told, "copy or download the file again" + (lost if code is PBD3 else ""))
    return _of_levels(path, array, ranges) if code is PBD3 else array


def _of_levels(path: Path, levels: Array, ranges: bytes) -> Array:
    """The values of PBD3's levels, by the least and the greatest value of each channel."""
    if levels.max() > 7:
        raise DataError(path, "a level beyond the eight of PBD3", "copy or download the file again")
    limits = np.frombuffer(ranges, np.uint8).reshape(-1, 2).tolist()
    for channel, (least, greatest) in zip(levels.reshape(-1, *levels.shape[-3:]), limits, strict=True):
        channel[...] = (least + (greatest - least) * np.arange(8) // 7).astype(np.uint8)[channel]
    return levels


def _layout(path: Path) -> _Layout:
    with reading(path, "Vaa3D file"):
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(24 + 1 + 2 + 5 * 4)
    key, order = head[:24], {b"L": "<", b"B": ">"}.get(head[24:25])
    if key not in {_RAW, _RAW5, _PBD} or order is None or len(head) < 35:
        fix = "save the stack again in Vaa3D, or as TIFF"
        raise DataError(path, "it does not begin as a file of Vaa3D does", fix)
    (code,) = struct.unpack_from(f"{order}h", head, 25)
    kinds = _PACKED if key == _PBD else _TYPES
    if code not in kinds:
        raise DataError(
            path, f"voxels of the unknown kind {code}", "save the original stack as 8 or 16 bit in Vaa3D"
        )
    dtype = np.dtype(order + kinds[code])
    count = 5 if key == _RAW5 else 4
    sizes, start = _sizes(head, order, count, "i"), 27 + 4 * count
    if key != _PBD and not _holds(sizes, start, size, dtype):
        old = _sizes(head, order, count, "h")
        if _holds(old, 27 + 2 * count, size, dtype):
            sizes, start = old, 27 + 2 * count
    if min(sizes, default=0) < 1 or (key != _PBD and not _holds(sizes, start, size, dtype)):
        told = " x ".join(map(str, sizes)) or "no size"
        found = (
            f"its header says {told} (x y z c) of {dtype.itemsize} bytes, the file has {size - start:,} bytes"
        )
        raise DataError(path, found, "copy or download the file again")
    if key == _PBD and prod(sizes) > (size - start) * _CODES[code].most:
        told = f"{' x '.join(map(str, sizes))} voxels (x y z c)"
        found = f"its header says {told}, more than {size - start:,} bytes of code can hold"
        raise DataError(path, found, "copy or download the file again")
    if count == 5 and sizes[4] != 1:
        raise DataError(path, f"{sizes[4]} time points", "save each time point as a stack of its own")
    x, y, z, channels = sizes[:4]
    shape = (z, y, x) if channels == 1 else (channels, z, y, x)
    return _Layout(shape, dtype, start, _CODES[code] if key == _PBD else None)


def _sizes(head: bytes, order: str, count: int, kind: str) -> tuple[int, ...]:
    wanted = struct.calcsize(f"{order}{count}{kind}")
    return struct.unpack_from(f"{order}{count}{kind}", head, 27) if len(head) >= 27 + wanted else ()


def _holds(sizes: tuple[int, ...], start: int, size: int, dtype: np.dtype) -> bool:
    """Whether a file is exactly as large as its header says."""
    return min(sizes, default=0) > 0 and start + prod(sizes) * dtype.itemsize == size


def _mapped(path: Path, found: _Layout) -> Array:
    with reading(path, "Vaa3D file"):
        return np.memmap(path, found.dtype, "r", found.start, found.shape)
