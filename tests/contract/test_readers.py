"""Every reader gives back what was written, with the axes, the channels and the pixel size of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image
from v3dpy.loaders import PBD, Raw

from morula.core.errors import DataError
from morula.core.types import Array, Segmentation, Voxel
from morula.data import load_records, open_volume, read_labels, write_labels, write_prediction
from morula.data.points import read_points_csv

RNG = np.random.default_rng(7)
GREY8 = RNG.integers(0, 256, (20, 24), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 24), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (20, 24, 3), dtype=np.uint16)
STACK = RNG.integers(0, 65536, (5, 20, 24), dtype=np.uint16)
LABELS = np.kron(np.arange(20).reshape(4, 5), np.ones((5, 5), int)).astype(np.int32)
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Case:
    """What is written, and what reading it must give."""

    file: str
    write: Callable[[Path], object]
    expected: Array
    axes: str = "yx"
    channels: tuple[str, ...] = ("grey",)
    voxel: Voxel | None = None


def pil(array: Array, mode: str | None = None) -> Callable[[Path], object]:
    image = Image.fromarray(array)
    return lambda path: (image.convert(mode) if mode else image).save(path)


def tiff(array: Array, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, array, **options)


def deep_png(array: Array) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(imagecodecs.png_encode(array))


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for page in STACK:
            writer.write(page, metadata=None, contiguous=False, compression="lzw")


def hdf5(array: Array, **options: Any) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            stored = file.create_dataset("volumes/raw", data=array, **options)
            stored.attrs["resolution"] = (40.0, 4.0, 5.0)
            file["volumes/ids"] = np.arange(9)

    return write


def mrc(array: Array, voxel: tuple[float, float, float] = (0, 0, 0)) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with mrcfile.new(path) as file:
            file.set_data(array)
            file.voxel_size = voxel

    return write


def vaa3d(loader: Any, array: Array) -> Callable[[Path], object]:
    return lambda path: loader.save(str(path), array[None])


def alpha(array: Array) -> Array:
    return np.dstack([array, np.full(array.shape[:2], 9, array.dtype)])


def first(array: Array) -> Array:
    return np.moveaxis(array, -1, 0)


PLANES, PAIRS = first(RGB8), STACK[:4].reshape(2, 2, 20, 24)
RGB_STACK = np.stack([RGB8] * 2)
MAP = np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) // 2]).astype(np.uint16)
OME = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 300, "PhysicalSizeYUnit": "nm"}
CASES = [
    Case("grey.png", pil(GREY8), GREY8),
    Case("grey16.png", pil(GREY16), GREY16),
    Case("alpha.png", pil(alpha(GREY8)), GREY8),
    Case("bit.png", pil(GREY8 > 99), (GREY8 > 99).astype(np.uint8)),
    Case("rgb.png", pil(RGB8), first(RGB8), "cyx", COLOURS),
    Case("rgba.png", pil(alpha(RGB8)), first(RGB8), "cyx", COLOURS),
    Case("rgb16.png", deep_png(RGB16), first(RGB16), "cyx", COLOURS),
    Case("rgba16.png", deep_png(alpha(RGB16)), first(RGB16), "cyx", COLOURS),
    Case("palette.png", pil(RGB8 // 128 * 255, "P"), first(RGB8 // 128 * 255), "cyx", COLOURS),
    Case("rgb.bmp", pil(RGB8), first(RGB8), "cyx", COLOURS),
    Case("grey.tif", tiff(GREY8), GREY8),
    Case("grey16.TIFF", tiff(GREY16, compression="zlib", predictor=True), GREY16),
    Case("float.tif", tiff(GREY16.astype(np.float32)), GREY16.astype(np.float32)),
    Case("bit.tif", tiff(GREY8 > 99), (GREY8 > 99).astype(np.uint8)),
    Case("palette.tif", tiff(GREY8, colormap=MAP * 257), MAP.astype(np.uint8)[:, GREY8], "cyx", COLOURS),
    Case("rgb.tif", tiff(RGB8, photometric="rgb"), first(RGB8), "cyx", COLOURS),
    Case("rgba.tif", tiff(alpha(RGB8), photometric="rgb"), first(RGB8), "cyx", COLOURS),
    Case("planar.tif", tiff(PLANES, photometric="rgb", planarconfig="separate"), PLANES, "cyx", COLOURS),
    Case("alpha.tif", tiff(alpha(GREY8), photometric="minisblack", extrasamples=["unassalpha"]), GREY8),
    Case("stack.tif", tiff(STACK, photometric="minisblack"), STACK, "zyx"),
    Case("pages.tif", pages, STACK, "zyx"),
    Case("colours.tif", tiff(RGB_STACK, photometric="rgb"), first(RGB_STACK), "czyx", COLOURS),
    Case(
        "two.ome.tif",
        tiff(PAIRS, metadata={"axes": "ZCYX", **OME, "Channel": {"Name": ["DAPI", "GFP"]}}),
        PAIRS.swapaxes(0, 1),
        "czyx",
        ("DAPI", "GFP"),
        Voxel(y=300.0, x=250.0),
    ),
    Case(
        "single.ome.tif",
        tiff(GREY16.reshape(1, 1, 1, 20, 24), metadata={"axes": "TZCYX", **OME}),
        GREY16,
        voxel=Voxel(y=300.0, x=250.0),
    ),
    Case(
        "imagej.tif",
        tiff(STACK, imagej=True, metadata={"axes": "ZYX", "spacing": 2, "unit": "micron"}, resolution=(4, 2)),
        STACK,
        "zyx",
        voxel=Voxel(y=500.0, x=250.0, z=2000.0),
    ),
    Case(
        "cm.tif",
        tiff(GREY8, resolution=(40_000, 40_000), resolutionunit=3),
        GREY8,
        voxel=Voxel(y=250.0, x=250.0),
    ),
    Case("compressed.tif", tiff(STACK, compression="zlib", photometric="minisblack"), STACK, "zyx"),
    Case("big-endian.tif", tiff(STACK, byteorder=">", photometric="minisblack"), STACK, "zyx"),
    Case("bits.tif", tiff(STACK > 9999, photometric="minisblack"), (STACK > 9999).astype(np.uint8), "zyx"),
    Case("stack.h5", hdf5(STACK), STACK, "zyx", voxel=Voxel(y=4.0, x=5.0, z=40.0)),
    Case(
        "chunks.HDF5",
        hdf5(STACK, chunks=(2, 8, 8), compression="gzip", shuffle=True),
        STACK,
        "zyx",
        voxel=Voxel(y=4.0, x=5.0, z=40.0),
    ),
    Case("stack.mrc", mrc(STACK), STACK, "zyx"),
    Case("sized.rec", mrc(STACK, (50, 40, 300)), STACK, "zyx", voxel=Voxel(y=4.0, x=5.0, z=30.0)),
    Case("signed.mrc", mrc(GREY8.view(np.int8)), GREY8.view(np.int8)),
    Case("stack.v3draw", vaa3d(Raw(), STACK), STACK, "zyx"),
    Case("packed.v3dpbd", vaa3d(PBD(), STACK), STACK, "zyx"),
    Case("print.tif", tiff(GREY8, resolution=(300, 300), resolutionunit=2), GREY8),
]


KEYS: list[Any] = [
    (..., slice(3, 9), 2),
    1,
    -2,
    slice(1, 3),
    slice(None, None, -2),
    (..., [5, 3, 3], slice(2)),
    (..., slice(7, 3, -1)),
    slice(2, 2),
]
"""Parts of an array, each with the first axis as any that has two or more can take them."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    case.write(path)
    volume = open_volume(path)
    assert (volume.axes.order, volume.channels, volume.shape) == (
        case.axes,
        case.channels,
        case.expected.shape,
    )
    assert volume.dtype == case.expected.dtype
    np.testing.assert_array_equal(volume.read(), case.expected)
    for key in KEYS:
        np.testing.assert_array_equal(open_volume(path)[key], case.expected[key])
    if case.voxel is None:
        assert volume.voxel is None
    else:
        assert volume.voxel is not None
        found, wanted = volume.voxel, case.voxel
        assert (found.y, found.x, found.z) == pytest.approx((wanted.y, wanted.x, wanted.z))
    assert not volume.read().flags.writeable
    assert open_volume(path).fingerprint == volume.fingerprint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_a_file_that_was_cut_is_refused_or_whole(case: Case, tmp_path: Path) -> None:
    """Never fewer sections, never black pixels in place of those that are missing."""
    path = tmp_path / case.file
    case.write(path)
    whole = path.read_bytes()
    for length in np.linspace(1, len(whole) - 1, 16, dtype=int):
        path.write_bytes(whole[:length])
        try:
            pixels = open_volume(path).read()
        except DataError:
            continue
        np.testing.assert_array_equal(pixels, case.expected)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.axes == "yx" and case.expected.dtype.kind == "u"],
    ids=lambda case: case.file,
)
def test_labels_read_what_images_read(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / case.file)
    labels = read_labels(tmp_path / case.file)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, case.expected)


def test_a_jpeg_is_what_it_decodes_to(tmp_path: Path) -> None:
    for name, array, axes in (("grey.jpg", GREY8, "yx"), ("rgb.JPEG", RGB8, "cyx")):
        Image.fromarray(array).save(tmp_path / name)
        volume = open_volume(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            decoded = np.asarray(image)
        assert volume.axes.order == axes
        np.testing.assert_array_equal(volume.read(), decoded if axes == "yx" else first(decoded))


@pytest.mark.parametrize("top", [19, 70_000])
def test_labels_that_were_written(top: int, tmp_path: Path) -> None:
    labels = np.where(LABELS == 19, top, LABELS)
    write_labels(tmp_path / "labels.tif", labels, voxel=Voxel(y=250.0, x=200.0))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.tif"), labels)
    voxel = open_volume(tmp_path / "labels.tif").voxel
    assert voxel is not None
    assert (voxel.y, voxel.x) == pytest.approx((250.0, 200.0))


def test_a_label_stack_keeps_its_voxel(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.tif", np.stack([LABELS] * 3), voxel=Voxel(z=40.0, y=4.0, x=4.0))
    volume = open_volume(tmp_path / "labels.tif")
    assert volume.axes.order == "zyx"
    assert volume.voxel is not None
    assert volume.voxel.z == pytest.approx(40.0)


def test_palette_labels_are_indices(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS.astype(np.uint8)).convert("P")
    image.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), LABELS)


def test_equal_colours_are_one_label(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([LABELS.astype(np.uint8)] * 3)).save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), LABELS)


def test_a_prediction_is_ground_truth_again(tmp_path: Path) -> None:
    """The COCO file and the label image of a prediction both read back as its labels."""
    (tmp_path / "images").mkdir()
    Image.fromarray(RGB8).resize((25, 20)).save(tmp_path / "images" / "a.png")
    image = open_volume(tmp_path / "images" / "a.png")
    found = Segmentation(LABELS, np.linspace(0, 1, 19), ("nucleus",) * 19)
    write_prediction(tmp_path / "out", found, image)
    for labels in ("coco.json", "labels.tif"):
        ((record,), _) = load_records(tmp_path / "images", tmp_path / "out" / labels)
        assert record.labels is not None
        np.testing.assert_array_equal(record.labels(), LABELS)


def test_points(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y,label\n20.5,3,positive\n2,1,negative\n")
    found = read_points_csv(tmp_path / "points.csv")
    assert found.yx.tolist() == [[3.0, 20.5], [1.0, 2.0]]
    assert found.classes == ("positive", "negative")
