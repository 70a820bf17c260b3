"""Stacks and traces that cannot be used stop `morula run` with the file, and of a trace the line."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from commands import cli
from morula.core.types import Array
from morula.data import write_swc
from synthetic import save_traced, traced_stack

SIZE = ("--voxel-size", 3000, 1000, 1000)
RAW, PACKED = b"raw_image_stack_by_hpeng", b"v3d_volume_pkbitdf_encod"
IMAGE, TREE = traced_stack(0)

Spoiler = Callable[[Path, Path], None]
"""Changes the stack, given without its extension, or the trace."""


def vaa3d(stack: Array, key: bytes = RAW, order: str = "<") -> bytes:
    """A v3draw file, or one of PBD8 without any compression; `(c) z y x`."""
    sizes = [*stack.shape[::-1], *([1] * (4 - stack.ndim))]
    header = key + (b"L" if order == "<" else b"B") + struct.pack(f"{order}h4i", stack.dtype.itemsize, *sizes)
    flat = stack.astype(stack.dtype.newbyteorder(order)).tobytes()
    if key == RAW:
        return header + flat
    literals = (flat[start : start + 33] for start in range(0, len(flat), 33))
    return header + b"".join(bytes([len(part) - 1]) + part for part in literals)


def stored(suffix: str, content: bytes) -> Spoiler:
    def spoil(stack: Path, trace: Path) -> None:
        stack.with_suffix(".tif").unlink()
        stack.with_suffix(suffix).write_bytes(content)

    return spoil


def tiff(array: Array, **options: Any) -> Spoiler:
    def spoil(stack: Path, trace: Path) -> None:
        tifffile.imwrite(stack.with_suffix(".tif"), array, photometric="minisblack", **options)

    return spoil


def moved(stack: Path, trace: Path) -> None:
    write_swc(trace, TREE.moved((0, 0, 40)))


def in_micrometres(stack: Path, trace: Path) -> None:
    write_swc(trace, TREE.scaled((0.9, 0.2, 0.2)))


def text(content: str) -> Spoiler:
    def spoil(stack: Path, trace: Path) -> None:
        trace.write_text(content)

    return spoil


BAD: dict[str, tuple[Spoiler, tuple[object, ...], tuple[str, ...]]] = {
    "trace outside of the stack": (moved, SIZE, ("n0_gold.swc", "line ", "outside of 10 x 48 x 64")),
    "trace in micrometres, voxels unknown": (
        in_micrometres,
        ("--voxel-size", "unknown"),
        ("n0_gold.swc", "--voxel-size", "micrometres"),
    ),
    "trace in micrometres, no voxel size": (in_micrometres, (), ("n0_gold.swc", "--voxel-size")),
    "truncated v3dpbd": (
        stored(".v3dpbd", vaa3d(IMAGE, PACKED)[:-400]),
        SIZE,
        ("n0.v3dpbd", "the code ends after"),
    ),
    "v3dpbd without voxels": (
        stored(".v3dpbd", vaa3d(IMAGE, PACKED)[:43]),
        SIZE,
        ("n0.v3dpbd", "more than 0 bytes of code"),
    ),
    "truncated v3draw": (stored(".v3draw", vaa3d(IMAGE)[:-1]), SIZE, ("n0.v3draw", "the file has")),
    "wrong magic": (
        stored(".v3draw", b"X" + vaa3d(IMAGE)[1:]),
        SIZE,
        ("n0.v3draw", "does not begin as a file of Vaa3D"),
    ),
    "wrong byte order": (
        stored(".v3draw", vaa3d(IMAGE, order="<").replace(RAW + b"L", RAW + b"B")),
        SIZE,
        ("n0.v3draw", "unknown kind"),
    ),
    "two channels, v3draw": (
        stored(".v3draw", vaa3d(np.stack([IMAGE] * 2))),
        SIZE,
        ("n0.v3draw", "2 channels"),
    ),
    "two channels, v3dpbd": (
        stored(".v3dpbd", vaa3d(np.stack([IMAGE] * 2), PACKED)),
        SIZE,
        ("n0.v3dpbd", "2 channels"),
    ),
    "two channels, TIFF": (
        tiff(np.stack([IMAGE] * 2, axis=1), imagej=True, metadata={"axes": "ZCYX"}),
        SIZE,
        ("n0.tif", "2 channels"),
    ),
    "one slice": (tiff(IMAGE[:1]), SIZE, ("1 section",)),
    "one slice, v3draw": (stored(".v3draw", vaa3d(IMAGE[:1])), SIZE, ("n0.v3draw", "1 section")),
    "all black": (tiff(np.zeros_like(IMAGE)), SIZE, ("n0.tif", "every voxel is 0")),
    "empty SWC": (text(""), SIZE, ("n0_gold.swc", "0 bytes")),
    "SWC of comments": (text("# id type x y z radius parent\n"), SIZE, ("n0_gold.swc", "no node")),
    "SWC that is no table": (text("# a\nneuron 1\n"), SIZE, ("n0_gold.swc", "line 2 is no node")),
    "SWC with decimal commas": (text("1 0 5,5 5 5 1 -1\n"), SIZE, ("n0_gold.swc", "line 1", "commas")),
    "cycle": (text("1 0 5 5 5 1 2\n2 0 6 5 5 1 1\n"), SIZE, ("n0_gold.swc", "line 1", "cycle")),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, size, told = BAD[name]
    images, labels = save_traced(tmp_path, 1, 1)
    spoil(images / "n0", labels / "n0_gold.swc")
    code, _, message = cli(
        capsys, "run", images, "--labels", labels, "--label-suffix", "_gold", *size,
        "--out", tmp_path / "run", "-q", "--device", "cpu",
    )  # fmt: skip
    assert code in {2, 3}, message
    for part in (*told, "Fix:"):
        assert part in message, message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("suffix", "key"), [(".v3draw", RAW), (".v3dpbd", PACKED)])
def test_both_byte_orders_are_planned_with(
    order: str, suffix: str, key: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = save_traced(tmp_path, 1, 1)
    stored(suffix, vaa3d(IMAGE, key, order))(images / "n0", labels / "n0_gold.swc")
    code, text, message = cli(capsys, "plan", images, "--labels", labels, "--label-suffix", "_gold", *SIZE)
    assert code == 0, message
    assert "vit3d" in text


@pytest.mark.parametrize("spoil", [text(""), text("1 2 3\n"), text("1 0 5 5 5 1 2\n2 0 6 5 5 1 1\n")])
def test_a_trace_that_cannot_be_scored(
    spoil: Spoiler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, labels = save_traced(tmp_path, 1, 1)
    bad = tmp_path / "bad.swc"
    spoil(tmp_path, bad)
    code, _, message = cli(capsys, "evaluate", bad, labels / "n0_gold.swc", "--kind", "swc", *SIZE)
    assert code == 3
    assert "bad.swc" in message
    assert "Fix:" in message
