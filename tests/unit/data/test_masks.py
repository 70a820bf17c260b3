"""Foreground masks, however a label file writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Array
from morula.data import is_mask, read_mask, to_mask

MASK = np.zeros((4, 30, 40), np.uint8)
MASK[:, 4:20, 5:25] = 1
INSTANCES = np.where(MASK, np.arange(40) // 4 + 1, 0).astype(np.uint16)


def mixed() -> Array:
    """Sections 1 and 3 are 0/1 and the others 0/255, as in VNC."""
    return MASK * np.array([255, 1, 255, 1], np.uint8)[:, None, None]


def interpolated(count: int) -> Array:
    mask = MASK * 255
    mask[0].ravel()[:count:2], mask[0].ravel()[1:count:2] = 17, 130
    return mask


@pytest.mark.parametrize(
    "stored",
    [
        MASK,
        MASK * 255,
        MASK * 7,
        mixed(),
        MASK > 0,
        INSTANCES,
        INSTANCES.astype(np.uint64) + MASK * np.uint64(999),
    ],
    ids=["0/1", "0/255", "one number", "mixed", "1 bit", "instances", "large numbers"],
)
def test_the_ways_to_write_a_mask(stored: Array, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["labels"] = stored
    mask = read_mask(tmp_path / "a.h5")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


def test_sections_of_all_kinds(tmp_path: Path) -> None:
    """1 bit, palette, RGB and RGBA: what other loaders turn into an empty mask."""
    white = MASK[0] * 255
    Image.fromarray(white > 0).save(tmp_path / "0.png")
    Image.fromarray(np.dstack([white] * 3)).save(tmp_path / "1.png")
    Image.fromarray(np.dstack([white] * 3 + [np.full_like(white, 255)])).save(tmp_path / "2.png")
    Image.fromarray(white).convert("P").save(tmp_path / "3.png")
    np.testing.assert_array_equal(read_mask(tmp_path), MASK)


def test_an_image_has_one_section(tmp_path: Path) -> None:
    Image.fromarray(MASK[0] * 255).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").shape == (1, 30, 40)


def test_ignored_values_are_background(tmp_path: Path) -> None:
    stored = MASK * 255
    stored[:, 22:] = 2
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif", ignore=[2]), MASK)
    for share in (stored, np.where(stored == 2, 2 * (np.arange(40) < 1), stored), np.maximum(stored, 2)):
        tifffile.imwrite(tmp_path / "b.tif", share.astype(np.uint8), photometric="minisblack")
        with pytest.raises(DataError, match=r"b\.tif: the values 2 and 255 alone.*0 in place of 2"):
            read_mask(tmp_path / "b.tif")


def test_stray_grey_levels_are_foreground_and_more_are_refused() -> None:
    few = interpolated(23)
    assert to_mask(few).sum() == np.count_nonzero(few)
    with pytest.raises(DataError, match=r"0\.5% of the voxels are grey levels \(17, 130\)"):
        to_mask(interpolated(24))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (MASK, True),
        (MASK * 7, True),
        (MASK * 0, True),
        (mixed(), True),
        (interpolated(23), True),
        (interpolated(24), False),
        (INSTANCES, False),
        (INSTANCES + MASK * np.uint16(248), False),
    ],
)
def test_values_tell_a_mask_from_instance_numbers(stored: Array, expected: bool) -> None:
    values, counts = np.unique(stored, return_counts=True)
    assert is_mask(values, counts, stored.size) is expected
    inside = values > 0
    assert is_mask(values[inside], counts[inside], stored.size) is expected


def test_a_picture_is_no_mask() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 64, 64))
    with pytest.raises(DataError, match=r"picture\.tif.*grey levels \(2, 3, 4, 5, \.\.\.\)"):
        to_mask(picture, where="picture.tif")


def test_an_empty_mask_is_one() -> None:
    assert to_mask(np.zeros((2, 3, 4), np.int32)).sum() == 0


def test_a_section_as_jpeg_is_refused(tmp_path: Path) -> None:
    Image.fromarray(MASK[0] * 255).save(tmp_path / "0.png")
    Image.fromarray(MASK[1] * 255).save(tmp_path / "1.jpg")
    with pytest.raises(DataError, match="JPEG"):
        read_mask(tmp_path)


def test_colours_that_differ(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([MASK[0] * 255, MASK[0], MASK[0]])).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="channels"):
        read_mask(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: colour channels that differ"):
        read_mask(tmp_path)
