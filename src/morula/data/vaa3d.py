"""Vaa3D's stacks: `.v3draw`, memory-mapped, and `.v3dpbd`, its run-length and difference code.

Of the three codes PBD8 and PBD16 are read. PBD3 is refused: Vaa3D's writer of it drops the value of long
runs and the last bits of literals, and its reader takes differences for values. Such a file does not hold its
stack.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from morula.core.errors import DataError
from morula.core.types import Array, Axes
from morula.data.reading import Header, reading

__all__ = ["SUFFIXES", "decode", "header", "part"]

SUFFIXES = (".v3draw", ".vaa3draw", ".raw5d", ".v3dpbd")

_RAW, _RAW5, _PBD = b"raw_image_stack_by_hpeng", b"raw5image_stack_by_hpeng", b"v3d_volume_pkbitdf_encod"
_TYPES = {1: "u1", 2: "u2", 4: "f4"}
_PACKED = {1: "u1", 2: "u2"}
_STEPS8 = np.array((0, 1, 2, -1), np.int64)
"""What two bits say of the next value."""


@dataclass(frozen=True)
class _Layout:
    """Where the voxels are.

    Attributes:
        shape: `(c, z, y, x)`.
        dtype: as stored, with its byte order.
        start: first byte of the voxels.
        packed: whether they are coded.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype
    start: int
    packed: bool


def header(path: Path) -> Header:
    """Size and type of a stack.

    Raises:
        DataError: not of Vaa3D, cut short, several time points, or a kind of voxels that is not read.
    """
    found = _layout(path)
    alone = found.shape[0] == 1
    names = ("grey",) if alone else tuple(f"channel {number + 1}" for number in range(found.shape[0]))
    shape = found.shape[1:] if alone else found.shape
    return Header(shape, found.dtype.newbyteorder("="), Axes("zyx" if alone else "czyx"), names)


def decode(path: Path, *, indices: bool = False) -> Array:
    """The whole stack.

    Args:
        path: the file.
        indices: has no effect: these files have no palettes.

    Raises:
        DataError: the file is damaged or cut short.
    """
    found = _layout(path)
    if not found.packed:
        array = np.array(_mapped(path, found), dtype=found.dtype.newbyteorder("="))
    else:
        with reading(path, "Vaa3D file"):
            stream = path.read_bytes()[found.start :]
        unpack = _unpack8 if found.dtype.itemsize == 1 else _unpack16
        flat, count = unpack(stream, prod(found.shape), found.dtype)
        if count < prod(found.shape):
            told = f"the code ends after {count:,} of {prod(found.shape):,} voxels"
            raise DataError(path, told, "copy or download the file again")
        array = flat.reshape(found.shape)
    return array[0] if found.shape[0] == 1 else array


def part(path: Path, box: tuple[slice, ...]) -> Array | None:
    """The voxels of a box of a stack with one channel; None where all has to be decoded.

    Raises:
        DataError: the file is damaged or cut short.
    """
    found = _layout(path)
    if found.packed or found.shape[0] > 1:
        return None
    return np.array(_mapped(path, found)[0][box], dtype=found.dtype.newbyteorder("="))


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
        lossy = "voxels of 3 bits (PBD3), a code that loses some of them when it is written"
        found = lossy if key == _PBD and code == 33 else f"voxels of the unknown kind {code}"
        raise DataError(path, found, "save the original stack as 8 or 16 bit in Vaa3D")
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
    if count == 5 and sizes[4] != 1:
        raise DataError(path, f"{sizes[4]} time points", "save each time point as a stack of its own")
    x, y, z, channels = sizes[:4]
    return _Layout((channels, z, y, x), dtype, start, key == _PBD)


def _sizes(head: bytes, order: str, count: int, kind: str) -> tuple[int, ...]:
    wanted = struct.calcsize(f"{order}{count}{kind}")
    return struct.unpack_from(f"{order}{count}{kind}", head, 27) if len(head) >= 27 + wanted else ()


def _holds(sizes: tuple[int, ...], start: int, size: int, dtype: np.dtype) -> bool:
    """Whether a file is exactly as large as its header says."""
    return min(sizes, default=0) > 0 and start + prod(sizes) * dtype.itemsize == size


def _mapped(path: Path, found: _Layout) -> Array:
    with reading(path, "Vaa3D file"):
        return np.memmap(path, found.dtype, "r", found.start, found.shape)


def _unpack8(stream: bytes, total: int, dtype: np.dtype) -> tuple[Array, int]:
    """The voxels of PBD8, and how many there were.

    An operation below 33 copies bytes, below 128 gives differences of two bits each, low bits first, else it
    repeats a byte.
    """
    source, out = np.frombuffer(stream, np.uint8), np.zeros(total, np.uint8)
    place = done = 0
    end = len(stream)
    while place < end and done < total:
        code = stream[place]
        place += 1
        if code < 33:
            count = min(code + 1, end - place, total - done)
            out[done : done + count] = source[place : place + count]
            place += code + 1
        elif code < 128:
            wide = (code - 32 + 3) // 4
            packed = source[place : place + wide]
            count = min(code - 32, 4 * len(packed), total - done)
            bits = (packed[:, None] >> np.array((0, 2, 4, 6), np.uint8)) & 3
            last = int(out[done - 1]) if done else 0
            out[done : done + count] = (last + np.cumsum(_STEPS8[bits.ravel()[:count]])) & 0xFF
            place += wide
        else:
            if place >= end:
                break
            count = min(code - 127, total - done)
            out[done : done + count] = stream[place]
            place += 1
        done += count
    return out, done


def _unpack16(stream: bytes, total: int, dtype: np.dtype) -> tuple[Array, int]:
    """The voxels of PBD16, and how many there were.

    An operation below 32 copies values, below 80, 183 and 223 it gives differences of three, four and five
    bits each, high bits first, else it repeats a value.
    """
    out = np.zeros(total, np.uint16)
    place = done = 0
    end = len(stream)
    while place < end and done < total:
        code = stream[place]
        place += 1
        if code < 32:
            count = min(code + 1, (end - place) // 2, total - done)
            out[done : done + count] = np.frombuffer(stream, dtype, count, place)
            place += 2 * (code + 1)
        elif code < 223:
            bits, base = (3, 31) if code < 80 else (4, 79) if code < 183 else (5, 182)
            wide = ((code - base) * bits + 7) // 8
            steps = _steps16(stream[place : place + wide], bits)
            count = min(code - base, len(steps), total - done)
            last = int(out[done - 1]) if done else 0
            out[done : done + count] = (last + np.cumsum(steps[:count])) & 0xFFFF
            place += wide
        else:
            if place + 2 > end:
                break
            count = min(code - 222, total - done)
            out[done : done + count] = np.frombuffer(stream, dtype, 1, place)[0]
            place += 2
        done += count
    return out, done


def _steps16(packed: bytes, bits: int) -> Array:
    """Differences of `bits` bits each; codes above half of the range are negative."""
    single = np.unpackbits(np.frombuffer(packed, np.uint8))
    whole = single[: len(single) // bits * bits].reshape(-1, bits).astype(np.int64)
    codes = whole @ (1 << np.arange(bits - 1, -1, -1))
    half = 1 << (bits - 1)
    return np.where(codes > half, half - codes, codes)
