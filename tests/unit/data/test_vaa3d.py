"""Vaa3D's formats, byte by byte: both byte orders, old headers, every operation of the code, damage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from v3dpy import loaders

from morula.core.errors import DataError, UsageError
from morula.core.types import Array
from morula.data import load_volumes, open_volume, pbd, vaa3d, volumes, write_v3dpbd, write_v3draw
from morula.data.volumes import as_stack

STACK = np.random.default_rng(0).integers(0, 256, (3, 17, 18)).astype(np.uint8)
SMOOTH = np.cumsum(np.random.default_rng(1).integers(-1, 3, (4, 20, 33))).reshape(4, 20, 33)
RAW, RAW5, PBD = b"raw_image_stack_by_hpeng", b"raw5image_stack_by_hpeng", b"v3d_volume_pkbitdf_encod"


def head(key: bytes, shape: tuple[int, ...], code: int, order: str = "<", kind: str = "i") -> bytes:
    """The header of an array `(c) z y x`."""
    sizes = [*shape[::-1], *([1] * (4 - len(shape)))]
    sizes += [1] if key == RAW5 else []
    letter = b"L" if order == "<" else b"B"
    return key + letter + struct.pack(f"{order}h{len(sizes)}{kind}", code, *sizes)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("dtype", "code"), [("u1", 1), ("u2", 2), ("f4", 4)])
@pytest.mark.parametrize(("key", "kind"), [(RAW, "i"), (RAW5, "i"), (RAW, "h")])
def test_raw_stacks_come_back(
    order: str, dtype: str, code: int, key: bytes, kind: str, tmp_path: Path
) -> None:
    stack = STACK.astype(order + dtype)
    (tmp_path / "a.v3draw").write_bytes(head(key, stack.shape, code, order, kind) + stack.tobytes())
    volume = open_volume(tmp_path / "a.v3draw")
    assert volume.axes.order == "zyx"
    assert volume.dtype == np.dtype(dtype)
    assert np.array_equal(volume[1:2, 2:5], stack[1:2, 2:5])
    assert np.array_equal(volume.read(), stack)


def test_two_channels_are_told_apart_and_refused_where_one_is_wanted(tmp_path: Path) -> None:
    stack = np.stack([STACK, STACK[::-1]])
    (tmp_path / "a.v3draw").write_bytes(head(RAW, stack.shape, 1) + stack.tobytes())
    volume = open_volume(tmp_path / "a.v3draw")
    assert volume.channels == ("channel 1", "channel 2")
    assert np.array_equal(volume.read(), stack)
    with pytest.raises(DataError, match="2 channels"):
        as_stack(volume)


def test_of_channels_only_the_part_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.stack([STACK, STACK[::-1]])
    write_v3draw(tmp_path / "a.v3draw", stack)
    monkeypatch.delattr(vaa3d, "decode")
    assert np.array_equal(open_volume(tmp_path / "a.v3draw")[1, 1:, 4], stack[1, 1:, 4])


def packed(tmp_path: Path, shape: tuple[int, ...], code: int, stream: bytes, order: str = "<") -> Path:
    path = tmp_path / "a.v3dpbd"
    path.write_bytes(head(PBD, shape, code, order) + stream)
    return path


def test_pbd8_by_hand(tmp_path: Path) -> None:
    # three literals; five differences, low bits first: 0 1 2 -1 | 1; the rest repeats
    stream = bytes((2, 7, 9, 250, 32 + 5, 0b11_10_01_00, 0b01, 255, 4, 127 + 120, 4))
    found = open_volume(packed(tmp_path, (1, 16, 16), 1, stream)).read().ravel()
    assert found[:8].tolist() == [7, 9, 250, 250, 251, 253, 252, 253]
    assert (found[8:] == 4).all()
    assert len(found) == 256


@pytest.mark.parametrize("order", ["<", ">"])
def test_pbd16_by_hand(order: str, tmp_path: Path) -> None:
    literal = bytes((1,)) + struct.pack(f"{order}2H", 300, 1000)
    three = bytes((31 + 3, 0b001_100_10, 0b1_0000000))  # +1, +4, 4 - 5 = -1
    four = bytes((79 + 2, 0b1000_1001))  # +8, 8 - 9 = -1
    five = bytes((182 + 1, 0b11111_000))  # 16 - 31 = -15
    value = struct.pack(f"{order}H", 77)
    repeats = (bytes((222 + 33,)) + value) * 7 + bytes((222 + 17,)) + value
    stream = literal + three + four + five + repeats
    found = open_volume(packed(tmp_path, (1, 16, 16), 2, stream, order)).read().ravel()
    assert found[:8].tolist() == [300, 1000, 1001, 1005, 1004, 1012, 1011, 996]
    assert (found[8:] == 77).all()


# range 10 to 80; three literals, low bits first: 1 7 5; differences -1 +1 | 0 +1; 249 times level 2
PBD3 = bytes((2, 121, 1, 24, 0b100_011, 128 + 120, 2 << 5 | 1))


def test_pbd3_by_hand(tmp_path: Path) -> None:
    found = open_volume(packed(tmp_path, (1, 16, 16), 33, bytes((10, 80)) + PBD3)).read().ravel()
    assert found[:7].tolist() == [20, 80, 60, 50, 60, 60, 70]
    assert (found[7:] == 30).all()


def test_each_channel_of_pbd3_has_its_own_range(tmp_path: Path) -> None:
    stream = bytes((0, 7, 0, 255)) + bytes((128 + 127, 3 << 5 | 3))
    found = open_volume(packed(tmp_path, (2, 1, 16, 16), 33, stream)).read()
    assert (found[0] == 3).all()
    assert (found[1] == 255 * 3 // 7).all()


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (PBD3[:-2], "7 of 256 voxels.*last voxels of some 3 bit"),
        (bytes((30, 0xFF, 0xFF, 0xFF)) + PBD3, "level"),
    ],
)
def test_pbd3_that_lacks_voxels_or_leaves_its_levels_is_refused(
    stream: bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        open_volume(packed(tmp_path, (1, 16, 16), 33, bytes((10, 80)) + stream)).read()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".v3dpbd", ".v3draw"])
def test_what_v3d_py_helper_writes_is_read_alike(dtype: type, suffix: str, tmp_path: Path) -> None:
    loader = loaders.PBD() if suffix == ".v3dpbd" else loaders.Raw()
    stack = (SMOOTH % np.iinfo(dtype).max).astype(dtype)
    stack[2] = 5
    path = tmp_path / f"a{suffix}"
    loader.save(str(path), stack[None])
    assert np.array_equal(open_volume(path).read(), stack)
    assert np.array_equal(loader.load(str(path))[0], stack)


def kinds_of_voxels(dtype: type, channels: int) -> Array:
    """Noise, slopes and runs, longer than is coded at once, `(c, z, y, x)`."""
    rng = np.random.default_rng(2)
    noise, slope = rng.integers(0, 60_000, 150_000), np.cumsum(rng.integers(-3, 4, 150_000))
    runs = np.repeat(rng.integers(0, 9, 3_000), rng.integers(1, 200, 3_000))
    flat = np.concatenate([noise, slope, runs])[: 72 * 64 * 128]
    return flat.astype(dtype).reshape(channels, -1, 64, 128)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".v3dpbd", ".v3draw"])
def test_what_is_written_comes_back_here_and_in_v3d_py_helper(
    dtype: type, suffix: str, channels: int, tmp_path: Path
) -> None:
    write, loader = (write_v3dpbd, loaders.PBD()) if suffix == ".v3dpbd" else (write_v3draw, loaders.Raw())
    stack = kinds_of_voxels(dtype, channels)
    ours, theirs = tmp_path / f"ours{suffix}", tmp_path / f"theirs{suffix}"
    write(ours, stack if channels > 1 else stack[0])
    loader.save(str(theirs), stack)
    assert np.array_equal(loader.load(str(ours)), stack)
    assert np.array_equal(open_volume(ours).read(), np.squeeze(stack))
    assert np.array_equal(open_volume(theirs).read(), np.squeeze(stack))
    same = 43 if suffix == ".v3dpbd" else None
    assert ours.read_bytes()[:same] == theirs.read_bytes()[:same]
    assert suffix == ".v3draw" or ours.stat().st_size < 0.9 * stack.nbytes


def test_floats_and_the_other_byte_order_are_written(tmp_path: Path) -> None:
    for kind in (">f4", ">u2"):
        write_v3draw(tmp_path / "a.v3draw", STACK.astype(kind)[:, ::-1])
        content = (tmp_path / "a.v3draw").read_bytes()
        assert content[24:25] == b"L"
        assert np.array_equal(open_volume(tmp_path / "a.v3draw").read(), STACK[:, ::-1])
        assert np.array_equal(loaders.Raw().load(str(tmp_path / "a.v3draw"))[0], STACK[:, ::-1])


def test_only_differences_that_vaa3d_knows_are_written() -> None:
    stream = b"".join(pbd.pack(kinds_of_voxels(np.uint16, 1).ravel(), pbd.PBD16))
    place, found = 0, set[int]()
    while place < len(stream):
        found.add(int(pbd.PBD16.kinds[stream[place]]))
        place += int(pbd.PBD16.sizes[stream[place]])
    assert found == {0, 1, 3}


@pytest.mark.parametrize("stack", [STACK[0], STACK[:0], STACK.astype(np.int32)])
def test_what_the_format_cannot_hold_is_not_written(stack: Array, tmp_path: Path) -> None:
    for write, suffix in ((write_v3draw, ".v3draw"), (write_v3dpbd, ".v3dpbd")):
        with pytest.raises(UsageError, match=r"give axes z, y, x or c, z, y, x"):
            write(tmp_path / f"a{suffix}", stack)
    assert not list(tmp_path.iterdir())


def test_a_packed_stack_is_decoded_once_when_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_v3dpbd(tmp_path / "a.v3dpbd", STACK)
    whole, calls = vaa3d.decode, []
    monkeypatch.setattr(vaa3d, "decode", lambda path, **options: calls.append(path) or whole(path, **options))
    monkeypatch.setattr(volumes, "_SLAB", STACK[0].nbytes)
    load_volumes(tmp_path / "a.v3dpbd")
    assert len(calls) == 1


def _cut(content: bytes) -> bytes:
    return content[:-5]


def _magic(content: bytes) -> bytes:
    return b"X" + content[1:]


def _kind(content: bytes) -> bytes:
    return content[:25] + struct.pack("<h", 5) + content[27:]


def _no_size(content: bytes) -> bytes:
    return content[:30]


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (_cut, "the file has|ends after"),
    "magic": (_magic, "does not begin as a file of Vaa3D"),
    "kind": (_kind, "unknown kind 5"),
    "no size": (_no_size, "does not begin|no size|the file has"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("key", [RAW, PBD])
def test_damage_is_told(name: str, key: bytes, tmp_path: Path) -> None:
    spoil, told = BAD[name]
    literals = b"".join(bytes((8,)) + STACK.tobytes()[n : n + 9] for n in range(0, STACK.size, 9))
    content = head(key, STACK.shape, 1) + (STACK.tobytes() if key == RAW else literals)
    path = tmp_path / ("a.v3draw" if key == RAW else "a.v3dpbd")
    path.write_bytes(content)
    assert np.array_equal(open_volume(path).read(), STACK)
    path.write_bytes(spoil(content))
    with pytest.raises(DataError, match=told) as caught:
        open_volume(path).read()
    assert path.name in str(caught.value)


@pytest.mark.parametrize("kind", [1, 2, 33])
@pytest.mark.parametrize("sizes", [(18, 17, 3, 2**31 - 1), (2**31 - 1,) * 4, (1024, 1024, 1024, 1)])
def test_a_header_beyond_what_the_code_can_hold_is_refused_at_once(
    kind: int, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    (tmp_path / "a.v3dpbd").write_bytes(PBD + b"L" + struct.pack("<h4i", kind, *sizes) + bytes(1000))
    with pytest.raises(DataError, match="more than 1,000 bytes of code can hold"):
        open_volume(tmp_path / "a.v3dpbd")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_shortest_code_is_not_too_short(dtype: type, tmp_path: Path) -> None:
    stack = np.zeros((8, 33, 128), dtype)
    vaa3d.write_v3dpbd(tmp_path / "a.v3dpbd", stack)
    assert np.array_equal(open_volume(tmp_path / "a.v3dpbd").read(), stack)


def test_several_time_points_are_refused(tmp_path: Path) -> None:
    content = RAW5 + b"L" + struct.pack("<h5i", 1, 18, 17, 3, 1, 2) + STACK.tobytes() * 2
    (tmp_path / "a.v3draw").write_bytes(content)
    with pytest.raises(DataError, match="2 time points"):
        open_volume(tmp_path / "a.v3draw")
