"""The code of Vaa3D's `.v3dpbd`: literals, repeats, and differences of a few bits.

A stream is one operation after the other: a byte that says its kind and its count, then its fields, the last
byte filled up. A difference is to the value before; values wrap. Only the operations before tell where the
next one begins, so these places are found one by one, and all else for many operations at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from morula.core.types import Array

__all__ = ["PBD3", "PBD8", "PBD16", "Code", "pack", "unpack"]

_LITERAL, _REPEAT, _HEAD = 0, 1, 255
"""Kinds of operations, any other being differences of so many bits; and what marks their first bytes."""

_BYTES, _VALUES = 2**16, 2**18
"""How many bytes are decoded, and how many values encoded, at once."""

_Order = Literal["little", "big"]


@dataclass(frozen=True, eq=False)
class Code:
    """What the first byte of an operation says.

    Attributes:
        kinds: `(256,)` of the operation.
        fields: `(256,)` how many fields follow; of a repeat how many values it stands for.
        sizes: `(256,)` bytes of the operation with its first.
        literal: bits of a literal.
        order: which bit of a byte comes first.
        steps: of each kind of differences what each field says, `(fields, values)`.
        most: values that a byte of the stream stands for at most.
    """

    kinds: Array
    fields: Array
    sizes: Array
    literal: int
    order: _Order
    steps: dict[int, Array]
    most: int


def _code(
    ranges: tuple[tuple[int, int, int], ...],
    literal: int,
    repeat: int,
    order: _Order,
    steps: dict[int, Array],
    most: int,
) -> Code:
    """A code from ranges of first bytes: where each begins, its kind, and what to take off for the count."""
    kinds, fields = np.zeros(256, np.uint8), np.zeros(256, np.int64)
    for first, kind, base in ranges:
        kinds[first:], fields[first:] = kind, np.arange(first, 256) - base
    filled = _filled(fields, np.where(kinds == _LITERAL, literal, kinds))
    sizes = np.where(kinds == _REPEAT, repeat, filled) + 1
    return Code(kinds, fields, sizes.astype(np.uint8), literal, order, steps, most)


def _filled(fields: Array, bits: Array | int) -> Array:
    """Bytes of so many fields."""
    return (fields * bits + 7) // 8


def _signed(bits: int) -> Array:
    """Steps upward to half of the codes, then those downward."""
    codes, half = np.arange(2**bits), 2 ** (bits - 1)
    return np.where(codes > half, half - codes, codes)[:, None]


PBD8 = _code(
    ((0, _LITERAL, -1), (33, 2, 32), (128, _REPEAT, 127)),
    literal=8,
    repeat=1,
    order="little",
    steps={2: np.array(((0,), (1,), (2,), (-1,)))},
    most=64,
)
PBD16 = _code(
    ((0, _LITERAL, -1), (32, 3, 31), (80, 4, 79), (183, 5, 182), (223, _REPEAT, 222)),
    literal=16,
    repeat=2,
    order="big",
    steps={bits: _signed(bits) for bits in (3, 4, 5)},
    most=11,
)
PBD3 = _code(
    ((0, _LITERAL, -1), (24, 3, 22), (128, _REPEAT, 127)),
    literal=3,
    repeat=1,
    order="little",
    steps={3: np.array(((0, 0), (0, -1), (-1, 0), (-1, 1), (0, 1), (1, 0), (1, -1), (1, 1)))},
    most=2048,
)
"""Of levels 0 to 7; the byte after a repeat's first is its level, 3 bits, over more of its count, 5 bits."""


def unpack(stream: bytes, code: Code, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Array, int]:
    """The values of a stream.

    Args:
        stream: the operations.
        code: of them.
        shape: of the values there should be; more are left out.
        dtype: of the values as stored, with its byte order.

    Returns:
        An array of that shape in the byte order of this machine, 0 where the stream ends early; and how many
        values it held.
    """
    source = np.frombuffer(stream, np.uint8)
    sizes = stream.translate(code.sizes.tobytes())
    array = np.zeros(shape, dtype.newbyteorder("="))
    out = array.reshape(-1)
    place = done = 0
    while place < len(stream) and done < len(out):
        heads: list[int] = []
        begin, stop = place, min(place + _BYTES, len(stream))
        while place < stop:
            heads.append(place)
            place += sizes[place]
        whole = heads if place <= len(stream) else heads[:-1]
        end = place if whole is heads else heads[-1]
        last = out[max(done - 1, 0)]
        values = _unpacked(source[begin:end], np.array(whole, np.int64) - begin, code, dtype, last)
        count = min(len(values), len(out) - done)
        out[done : done + count] = values[:count]
        done += count
    return array, done


def _unpacked(source: Array, heads: Array, code: Code, dtype: np.dtype, last: np.generic) -> Array:
    """The values of whole operations that begin at `heads`; `last` is the value before them."""
    kinds, fields = code.kinds[source[heads]], code.fields[source[heads]]
    kind_of_byte = np.repeat(kinds, code.sizes[source[heads]])
    kind_of_byte[heads] = _HEAD
    counts = fields * 1
    for kind, steps in code.steps.items():
        counts[kinds == kind] *= steps.shape[1]
    told = source[kind_of_byte == _REPEAT]
    known = np.zeros(len(heads), last.dtype)
    if code is PBD3:
        counts[kinds == _REPEAT] += (told & 31).astype(np.int64) << 7
        known[kinds == _REPEAT] = told >> 5
    else:
        known[kinds == _REPEAT] = told.view(dtype)
    kind_of_value = np.repeat(kinds, counts)
    out = np.repeat(known, counts)
    literals = source[kind_of_byte == _LITERAL]
    if code.literal % 8 == 0:
        out[kind_of_value == _LITERAL] = literals.view(dtype)
    else:
        out[kind_of_value == _LITERAL] = _fields(
            literals, fields[kinds == _LITERAL], code.literal, code.order
        )
    rises = np.zeros(len(out), out.dtype)
    for kind, steps in code.steps.items():
        codes = _fields(source[kind_of_byte == kind], fields[kinds == kind], kind, code.order)
        rises[kind_of_value == kind] = steps.astype(out.dtype)[codes].ravel()
    return _risen(out, rises, kinds > _REPEAT, counts, last)


def _risen(out: Array, rises: Array, differ: Array, counts: Array, last: np.generic) -> Array:
    """Adds up differences, from the value before each series of operations with differences.

    Args:
        out: `(n,)` values, 0 where differences are.
        rises: `(n,)` differences, 0 elsewhere.
        differ: `(m,)` operations with differences.
        counts: `(m,)` their values.
        last: the value before all.
    """
    if not differ.any():
        return out
    risen = np.cumsum(rises, dtype=out.dtype)
    before = np.cumsum(counts) - counts - 1
    begins = differ & ~np.append(False, differ[:-1])
    place = before[begins]
    base = np.where(place < 0, last, out[place] - risen[place])[np.cumsum(begins) - 1]
    out += np.repeat(np.where(differ, base, 0).astype(out.dtype), counts)
    np.add(out, risen, out=out, where=np.repeat(differ, counts))
    return out


def _used(fields: Array, bits: int) -> Array:
    """Which bits are those of fields, not what fills the last byte of an operation."""
    ends = np.column_stack((fields * bits, _filled(fields, bits) * 8 - fields * bits))
    return np.repeat(np.tile((True, False), len(fields)), ends.ravel())


def _fields(packed: Array, fields: Array, bits: int, order: _Order) -> Array:
    """Codes of `bits` bits from the bytes of operations with so many `fields`."""
    single = np.unpackbits(packed, bitorder=order)[_used(fields, bits)].reshape(-1, bits)
    codes = np.zeros(len(single), np.uint8)
    for place in range(bits):
        codes |= single[:, place] << (place if order == "little" else bits - 1 - place)
    return codes


def pack(values: Array, code: Code) -> Iterator[bytes]:
    """The stream of `(n,)` values, in pieces.

    Of differences those of the fewest bits are written, the only ones that all readers know.

    Args:
        values: uint8 or uint16, in the byte order of the file.
        code: PBD8 or PBD16.
    """
    for start in range(0, len(values), _VALUES):
        yield _packed(values[start : start + _VALUES], values[start - 1] if start else None, code)


def _packed(values: Array, before: np.generic | None, code: Code) -> bytes:
    """The operations of some values, with the one before them."""
    bits = min(code.steps)
    steps = code.steps[bits][:, 0]
    rises = np.diff(values.astype(np.int64), prepend=values[0] if before is None else before)
    near = (rises >= steps.min()) & (rises <= steps.max())
    near[0] &= before is not None
    kinds, counts = _split(_kinds(rises != 0, near, code), rises != 0, code)
    operations = np.array([np.argmax(code.kinds == kind) for kind in range(bits + 1)])[kinds] + counts - 1
    sizes = code.sizes[operations].astype(np.int64)
    heads = np.cumsum(sizes) - sizes
    kind_of_value, kind_of_byte = np.repeat(kinds, counts), np.repeat(kinds, sizes)
    kind_of_byte[heads] = _HEAD
    out = np.zeros(len(kind_of_byte), np.uint8)
    out[heads] = operations
    out[kind_of_byte == _LITERAL] = values[kind_of_value == _LITERAL].view(np.uint8)
    out[kind_of_byte == _REPEAT] = values[(np.cumsum(counts) - counts)[kinds == _REPEAT]].view(np.uint8)
    codes = np.argsort(steps)[rises[kind_of_value == bits] - steps.min()]
    out[kind_of_byte == bits] = _packed_fields(codes, counts[kinds == bits], bits, code.order)
    return out.tobytes()


def _kinds(changes: Array, near: Array, code: Code) -> Array:
    """The kind of operation for each value, where another one pays its first byte and that of the next."""
    bits = min(code.steps)
    kinds = np.where(near, bits, _LITERAL).astype(np.uint8)
    lengths = _lengths(changes)
    kinds[np.repeat(lengths * bits > 16 + code.literal, lengths)] = _REPEAT
    edges = np.append(True, kinds[1:] != kinds[:-1])
    lengths = _lengths(edges)
    kinds[np.repeat((kinds[edges] == bits) & (lengths * (code.literal - bits) <= 16), lengths)] = _LITERAL
    return kinds


def _split(kinds: Array, changes: Array, code: Code) -> tuple[Array, Array]:
    """Kinds and counts of operations that are no longer than they can be and repeat one value."""
    edges = np.append(True, (kinds[1:] != kinds[:-1]) | ((kinds[1:] == _REPEAT) & changes[1:]))
    lengths = _lengths(edges)
    most = np.array([code.fields[code.kinds == kind].max(initial=1) for kind in range(kinds.max() + 1)])
    pieces = -(-lengths // most[kinds[edges]])
    split = np.repeat(kinds[edges], pieces)
    number = np.arange(len(split)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return split, np.minimum(most[split], np.repeat(lengths, pieces) - number * most[split])


def _lengths(edges: Array) -> Array:
    """How far it is from each edge to the next; the first place is one."""
    return np.diff(np.append(np.flatnonzero(np.append(True, edges[1:])), len(edges)))


def _packed_fields(codes: Array, fields: Array, bits: int, order: _Order) -> Array:
    """The bytes of operations with so many `fields`, each of `bits` bits."""
    places = np.arange(bits) if order == "little" else np.arange(bits)[::-1]
    used = _used(fields, bits)
    single = np.zeros(len(used), np.uint8)
    single[used] = ((codes[:, None] >> places) & 1).ravel()
    return np.packbits(single, bitorder=order)
