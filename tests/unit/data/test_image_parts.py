"""A part of a TIFF image is read without the rest."""

from __future__ import annotations

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError
from morula.data import open_volume, reading, tiff

RGB = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
GREY = RGB[..., 0].astype(np.uint16) * 9
TILES = {"tile": (32, 32), "compression": "zlib"}
STORED = {
    "uncompressed": (GREY, {}),
    "tiles": (GREY, TILES),
    "tiles, big endian": (GREY.astype(">u2"), {"tile": (32, 32), "byteorder": ">"}),
    "BigTIFF": (GREY, {**TILES, "bigtiff": True}),
    "RGB tiles": (RGB, {**TILES, "photometric": "rgb"}),
    "RGB strips": (RGB, {"rowsperstrip": 16, "compression": "zlib", "photometric": "rgb"}),
    "RGB planes": (np.moveaxis(RGB, -1, 0), {**TILES, "photometric": "rgb", "planarconfig": "separate"}),
    "RGB and alpha": (np.dstack([RGB, GREY.astype(np.uint8)]), {**TILES, "extrasamples": ["unassalpha"]}),
    "channels": (np.stack([GREY, GREY + 1]), {**TILES, "metadata": {"axes": "CYX"}}),
}


@pytest.mark.parametrize("name", STORED)
def test_a_part_is_that_of_the_whole_and_nothing_else_is_decoded(name, tmp_path, monkeypatch):
    array, options = STORED[name]
    path = tmp_path / "image.tif"
    options = {"photometric": "rgb" if "RGB" in name else "minisblack", **options}
    tifffile.imwrite(path, array, **options)
    whole = open_volume(path).read().copy()
    monkeypatch.setattr(tiff, "decode", None)
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    box = (..., slice(20, 71), slice(33, 64))
    part = open_volume(path)[box]
    assert part.dtype == whole.dtype
    assert np.array_equal(part, whole[box])
    assert len(np.unique(part)) > 50


@pytest.mark.parametrize("pieces", [{"tile": (32, 32)}, {"rowsperstrip": 16}])
def test_of_a_compressed_stack_only_tiles_and_strips_are_decoded(pieces, tmp_path, monkeypatch):
    stack = np.stack([GREY + number for number in range(5)])
    tifffile.imwrite(tmp_path / "a.tif", stack, compression="zlib", photometric="minisblack", **pieces)
    image = open_volume(tmp_path / "a.tif")
    monkeypatch.setattr(tiff, "_check_whole", None)
    for kind in (tifffile.TiffPage, tifffile.TiffFrame):
        monkeypatch.setattr(kind, "asarray", None)
    box = (slice(1, 4), slice(20, 41), slice(33, 64))
    assert image[box].dtype == stack.dtype
    assert np.array_equal(image[box], stack[box])


def test_a_large_image_can_be_opened_where_parts_can_be_read(tmp_path, monkeypatch):
    for module in ("morula.data.reading", "morula.data.open"):
        monkeypatch.setattr(f"{module}.MAX_PIXELS", 1000)
    assert GREY.size > reading.MAX_PIXELS
    tifffile.imwrite(tmp_path / "tiles.tif", GREY, **TILES)
    image = open_volume(tmp_path / "tiles.tif")
    assert np.array_equal(image[3:9, 4:8], GREY[3:9, 4:8])
    with pytest.raises(DataError, match="90 x 70 pixels are too many to be read at once"):
        image.read()
    monkeypatch.setattr(tiff, "_PIECE", 100)
    with pytest.raises(DataError, match="claims 90 x 70 pixels"):
        open_volume(tmp_path / "tiles.tif")


@pytest.mark.parametrize("shape", [(2, 90, 70), (90, 70)])
def test_a_volume_that_is_read_by_boxes_may_have_sections_of_any_size(shape, tmp_path, monkeypatch):
    array = np.resize(GREY, shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = array
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(array)
    for module in ("morula.data.reading", "morula.data.open"):
        monkeypatch.setattr(f"{module}.MAX_PIXELS", 1000)
    for name in ("a.h5:/raw", "a.mrc"):
        volume = open_volume(tmp_path / name)
        assert np.array_equal(volume[..., 3:9, 4:8], array[..., 3:9, 4:8])
        with pytest.raises(DataError, match="90 x 70 pixels are too many to be read at once"):
            volume.read()
