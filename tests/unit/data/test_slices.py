"""Folders of sections: their order, their kinds, and what is decoded of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Array
from morula.data import open_volume
from morula.data import slices as sections
from volume_files import STACK, write_sections


def test_of_a_folder_only_the_sections_asked_for_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(write_sections(tmp_path / "a", STACK))
    decoded: list[str] = []
    decode = sections.raster.decode

    def counted(path: Path, **options: bool) -> Array:
        decoded.append(path.name)
        return decode(path, **options)

    monkeypatch.setattr(sections.raster, "decode", counted)
    np.testing.assert_array_equal(volume[9:11, 3:5], STACK[9:11, 3:5])
    assert decoded == ["s9.png", "s10.png"]


def test_sections_in_natural_order(tmp_path: Path) -> None:
    folder = write_sections(tmp_path / "a", STACK, "{}.png")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").write_bytes(b"")
    volume = open_volume(folder)
    assert (volume.axes.order, volume.shape) == ("zyx", STACK.shape)
    np.testing.assert_array_equal(volume.read(), STACK)


def test_sections_of_all_kinds(tmp_path: Path) -> None:
    """1 bit, grey, RGB and RGBA with equal colours, in PNG, BMP and TIFF, are one stack."""
    bits = STACK[:5] // 128 * 255
    folder = tmp_path / "a"
    folder.mkdir()
    Image.fromarray(bits[0]).save(folder / "0.png")
    Image.fromarray(np.dstack([bits[1]] * 3)).save(folder / "1.png")
    Image.fromarray(np.dstack([bits[2]] * 3 + [bits[0]])).save(folder / "2.png")
    Image.fromarray(bits[3]).save(folder / "3.bmp")
    tifffile.imwrite(folder / "4.tif", bits[4])
    Image.fromarray(bits[0] > 0).save(folder / "5.png")
    stack = open_volume(folder).read()
    np.testing.assert_array_equal(stack[:5], bits)
    np.testing.assert_array_equal(stack[5], bits[0] // 255)


def test_a_section_that_changes_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = write_sections(tmp_path / "a", STACK)
    before = open_volume(folder).fingerprint
    assert open_volume(folder).fingerprint == before
    os.utime(folder / "s3.png", (1, 1))
    assert open_volume(folder).fingerprint != before


def test_the_odd_section_is_named(tmp_path: Path) -> None:
    folder = write_sections(tmp_path / "a", STACK)
    Image.fromarray(STACK[0, :18]).save(folder / "s7.png")
    with pytest.raises(DataError, match=r"s7\.png: 18 x 24 pixels, but most of the 11 sections have 20 x 24"):
        open_volume(folder)
