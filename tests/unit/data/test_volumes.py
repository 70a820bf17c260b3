"""Volumes: what is read of them, what belongs together, and what voxel size they get."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Array, Record, Voxel
from morula.data import list_volumes, load_volumes, open_volume, read_labels
from morula.data import slices as sections
from morula.data.box import bounding_box, crop

RNG = np.random.default_rng(3)
STACK = RNG.integers(0, 256, (11, 20, 24), dtype=np.uint8)
MASK = np.zeros_like(STACK)
MASK[2:5, 3:9, 4:9] = 1
GREY = {"photometric": "minisblack"}


def write_hdf5(path: Path, **arrays: Array) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
    return path


def write_mrc(path: Path, array: Array) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(array)
    return path


def write_sections(folder: Path, stack: Array, name: str = "s{}.png") -> Path:
    folder.mkdir()
    for number, section in enumerate(stack):
        Image.fromarray(section).save(folder / name.format(number))
    return folder


def write_tiff(path: Path, array: Array = STACK) -> Path:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, array, **GREY)
    return path


def one(images: Path, labels: Path | None = None, **options: object) -> Record:
    ((record,), errors) = load_volumes(images, labels, **options)
    assert errors == []
    return record


def labels_of(record: Record) -> Array:
    assert record.labels is not None
    return record.labels()


ENTRY = st.one_of(
    st.integers(-3, 2), st.slices(3), st.lists(st.integers(-3, 2), min_size=2, max_size=2).map(np.array)
)


@example([slice(None), 0, np.array([0, 2])], 2, True)
@given(st.lists(ENTRY, max_size=3), st.integers(0, 3), st.booleans())
def test_a_box_and_the_rest_are_the_index(entries: list[object], place: int, dots: bool) -> None:
    if dots:
        entries.insert(place, Ellipsis)
    array = np.arange(27).reshape(3, 3, 3)
    found = bounding_box(tuple(entries), array.shape)
    assert found is not None
    box, rest = found
    assert all(each.step is None and 0 <= each.start <= each.stop <= 3 for each in box)
    np.testing.assert_array_equal(array[box][rest], array[tuple(entries)])


@pytest.mark.parametrize("key", [None, (None, 0), np.ones((3, 3, 3), bool), True, (..., 1, ...)])
def test_other_indices_have_no_box(key: object) -> None:
    assert bounding_box(key, (3, 3, 3)) is None


@pytest.mark.parametrize("key", [3, (0, -4), ([0, 3],), (0, 0, 0, 0)])
def test_an_index_outside(key: object) -> None:
    with pytest.raises(IndexError):
        bounding_box(key, (3, 3, 3))


def test_a_part_of_a_volume_is_a_volume(tmp_path: Path) -> None:
    whole = open_volume(write_tiff(tmp_path / "a.tif"))
    part = crop(whole, (slice(2, 9), slice(None), slice(-4, None)))
    expected = STACK[2:9, :, -4:]
    assert (part.shape, part.dtype, part.uri) == (expected.shape, whole.dtype, whole.uri)
    assert part.fingerprint != whole.fingerprint
    for key in (..., -1, (slice(1, 5, 2), 3), (..., [2, 0]), expected > 99):
        np.testing.assert_array_equal(part[key], expected[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).read(), expected)
    with pytest.raises(ValueError, match="steps"):
        crop(whole, (slice(None, None, 2), slice(None), slice(None)))


WRITERS: dict[str, Callable[[Path], Path]] = {
    "contiguous": lambda folder: write_tiff(folder / "a.tif"),
    "hdf5": lambda folder: write_hdf5(folder / "a.h5", raw=STACK),
    "mrc": lambda folder: write_mrc(folder / "a.mrc", STACK.astype(np.int16)),
    "sections": lambda folder: write_sections(folder / "a", STACK),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_no_file_stays_open_and_volumes_travel(kind: str, tmp_path: Path) -> None:
    volume = open_volume(WRITERS[kind](tmp_path))
    for _ in range(3):
        np.testing.assert_array_equal(volume[4:6, 2], STACK[4:6, 2])
    copy = pickle.loads(pickle.dumps(volume))
    np.testing.assert_array_equal(copy[7], STACK[7])
    opened = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    assert not [path for path in opened if str(tmp_path) in path]


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


def test_of_a_compressed_stack_only_the_pages_asked_for_are_decoded(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression="zlib", **GREY)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        (start,) = tif.pages[2].dataoffsets
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + 8] = bytes(8)
    (tmp_path / "a.tif").write_bytes(content)
    volume = open_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume[3:, 5], STACK[3:, 5])
    with pytest.raises(DataError, match=r"a\.tif"):
        volume[2]
    with pytest.raises(DataError, match=r"a\.tif"):
        load_volumes(tmp_path / "a.tif")


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    volume = open_volume(write_hdf5(tmp_path / "a.h5", raw=STACK))
    write_hdf5(tmp_path / "a.h5", raw=STACK.astype(np.int16))
    with pytest.raises(DataError, match="when it was opened"):
        volume[2]


def test_a_key_may_be_left_out_or_named(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", **{"volumes/raw": STACK, "volumes/section": STACK[0]})
    assert open_volume(path).uri == f"{path}:/volumes/raw"
    for key in ("volumes/section", "/volumes/section"):
        volume = open_volume(f"{path}:{key}")
        assert (volume.axes.order, volume.uri) == ("yx", f"{path}:/volumes/section")
        np.testing.assert_array_equal(volume.read(), STACK[0])


def test_a_missing_key_lists_what_is_there(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", **{"volumes/raw": STACK, "volumes/ids": STACK.astype(np.uint64)})
    listed = r"/volumes/ids \(11 x 20 x 24 uint64\), /volumes/raw \(11 x 20 x 24 uint8\).*Fix: .*a\.h5:/key"
    for key in (":/raw", ":/volumes", ""):
        with pytest.raises(DataError, match=listed):
            open_volume(f"{path}{key}")


@pytest.mark.parametrize("resolution", [(0, 4, 4), (-1, 4, 4), (4, 4), "fine", (np.nan, 4, 4)])
def test_a_resolution_that_is_none(resolution: object, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", raw=STACK)
    with h5py.File(path, "a") as file:
        file["raw"].attrs["resolution"] = resolution
    assert open_volume(path).voxel is None


def test_bytes_of_imod_are_unsigned(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(STACK.view(np.int8))
        mark = bytearray(file.header.extra2.tobytes())
        mark[40:48] = np.array([1146047817, 0], np.int32).tobytes()
        file.header.extra2 = bytes(mark)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.mrc").read(), STACK)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 + 5])
def test_large_ids_stay_exact_or_are_refused(number: int, tmp_path: Path) -> None:
    ids = np.array([[[number, number + 1] * 10] * 20] * 2, np.uint64)
    path = write_hdf5(tmp_path / "a.h5", ids=ids)
    found = open_volume(path)
    assert found.dtype == np.uint64
    assert np.unique(found[1, 3]).tolist() == [number, number + 1]
    with pytest.raises(DataError, match=str(number + 1)):
        read_labels(path)


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


IMAGES: dict[str, Callable[[Path], Path]] = {
    **WRITERS,
    "key": lambda folder: Path(f"{write_hdf5(folder / 'a.h5', raw=STACK, more=STACK)}:/raw"),
    "colours": lambda folder: write_tiff_rgb(folder / "a.tif"),
}


def write_tiff_rgb(path: Path) -> Path:
    tifffile.imwrite(path, np.stack([STACK] * 3, axis=-1), photometric="rgb")
    return path


@pytest.mark.parametrize("kind", IMAGES)
def test_one_volume_and_its_labels(kind: str, tmp_path: Path) -> None:
    labels = write_tiff(tmp_path / "labels" / "whatever.tif", MASK)
    record = one(IMAGES[kind](tmp_path), labels, domain="source")
    assert (record.id, record.group, record.domain) == ("a", "a", "source")
    assert (record.image.axes.order, record.image.channels) == ("zyx", ("grey",))
    np.testing.assert_array_equal(record.image.read(), STACK)
    np.testing.assert_array_equal(record.image[3:5, :, 2], STACK[3:5, :, 2])
    copy = pickle.loads(pickle.dumps(record))
    assert labels_of(copy).dtype == np.int32
    np.testing.assert_array_equal(labels_of(copy), MASK)


@pytest.mark.parametrize("kind", WRITERS)
def test_labels_are_read_from_what_images_are(kind: str, tmp_path: Path) -> None:
    record = one(write_tiff(tmp_path / "images" / "b.tif"), WRITERS[kind](tmp_path))
    np.testing.assert_array_equal(labels_of(record), STACK)


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_an_image_is_a_volume_of_one_section(shape: tuple[int, ...], tmp_path: Path) -> None:
    image = STACK[0] if len(shape) == 2 else np.dstack([STACK[0]] * 3)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(MASK[2]).save(tmp_path / "a_mask.png")
    record = one(tmp_path / "a.png", tmp_path / "a_mask.png")
    np.testing.assert_array_equal(record.image.read(), STACK[:1])
    np.testing.assert_array_equal(labels_of(record), MASK[2:3])


def test_a_folder_of_volumes(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_tiff(images / "s10_raw.tif")
    write_tiff(images / "s2_raw.tif")
    write_hdf5(images / "train_im.h5", main=STACK)
    write_mrc(images / "alone.mrc", STACK.astype(np.int16))
    labels.mkdir()
    write_hdf5(labels / "s10_mito.h5", main=MASK)
    write_tiff(labels / "label_s2.tif", MASK * 2)
    write_tiff(labels / "train_mito.tif", MASK * 3)
    records, errors = load_volumes(images, labels)
    assert errors == []
    assert [record.id for record in records] == ["alone", "s2_raw", "s10_raw", "train_im"]
    found = [labels_of(record).max() if record.is_labelled else None for record in records]
    assert found == [None, 2, 1, 3]


def test_a_folder_of_sections_has_a_folder_of_labels(tmp_path: Path) -> None:
    """As Lucchi++ names them: sorted as text they would be mispaired."""
    images = write_sections(tmp_path / "Train_In", STACK, "mask{:04}.png")
    labels = write_sections(tmp_path / "Train_Out", MASK * 255, "{}.png")
    record = one(images, labels)
    assert record.id == "Train_In"
    np.testing.assert_array_equal(labels_of(record), MASK * 255)


def test_a_pair_of_different_sizes_names_both(tmp_path: Path) -> None:
    images = write_tiff(tmp_path / "a.tif")
    labels = write_tiff(tmp_path / "b.tif", MASK[:9])
    with pytest.raises(DataError, match=r"b\.tif: labels of 9 x 20 x 24, but .*a\.tif is 11 x 20 x 24"):
        load_volumes(images, labels)


def test_what_cannot_be_paired_is_said(tmp_path: Path) -> None:
    for name in ("images/a_raw", "images/b_raw", "labels/a_mito", "labels/c_mito"):
        write_tiff(tmp_path / f"{name}.tif")
    with pytest.raises(DataError, match="labels without a volume: c_mito; volumes without labels: b_raw"):
        load_volumes(tmp_path / "images", tmp_path / "labels")


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (["a_raw", "a_im"], ["a_mito"], "labels that fit"),
        (["a_raw", "b_raw"], ["a_mito", "a_seg"], "labels for"),
    ],
)
def test_pairs_that_are_not_clear(images: list[str], labels: list[str], found: str, tmp_path: Path) -> None:
    for name in images:
        write_tiff(tmp_path / "images" / f"{name}.tif")
    for name in labels:
        write_tiff(tmp_path / "labels" / f"{name}.tif")
    with pytest.raises(DataError, match=found):
        load_volumes(tmp_path / "images", tmp_path / "labels")


def test_names_that_are_equal_come_before_words(tmp_path: Path) -> None:
    for name in ("images/a", "images/a_raw", "labels/a"):
        write_tiff(tmp_path / f"{name}.tif")
    records, _ = load_volumes(tmp_path / "images", tmp_path / "labels")
    assert [(record.id, record.is_labelled) for record in records] == [("a", True), ("a_raw", False)]


def test_a_bad_volume_is_skipped_only_when_asked(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "good.tif")
    (tmp_path / "images" / "cut.tif").write_bytes(b"II*")
    with pytest.raises(DataError, match=r"cut\.tif.*--skip-bad"):
        load_volumes(tmp_path / "images")
    records, errors = load_volumes(tmp_path / "images", skip_bad=True)
    assert [record.id for record in records] == ["good"]
    assert [Path(error.where).name for error in errors] == ["cut.tif"]


def test_values_that_are_not_finite_are_found(tmp_path: Path) -> None:
    values = STACK.astype(np.float32)
    values[-1, -1, -1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        load_volumes(write_hdf5(tmp_path / "a.h5", raw=values))


def test_the_given_voxel_size_wins_and_the_file_can_still_be_asked(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", raw=STACK)
    assert one(path).image.voxel is None
    given = Voxel(y=5.0, x=6.0)
    assert one(path, voxel=given).image.voxel == given
    with h5py.File(path, "a") as file:
        file["raw"].attrs["resolution"] = (40.0, 4.0, 4.0)
    assert one(path).image.voxel == Voxel(z=40.0, y=4.0, x=4.0)
    record = one(path, voxel=given)
    assert record.image.voxel == Voxel(z=40.0, y=5.0, x=6.0)
    assert one(path, voxel=Voxel(z=30.0, y=5.0, x=6.0)).image.voxel == Voxel(z=30.0, y=5.0, x=6.0)
    assert open_volume(record.image.uri).voxel == Voxel(z=40.0, y=4.0, x=4.0)
    assert record.image.fingerprint != one(path).image.fingerprint


def test_what_a_folder_means(tmp_path: Path) -> None:
    stack = write_sections(tmp_path / "sections", STACK)
    assert list_volumes(stack) == [stack]
    assert list_volumes(stack / "s1.png") == [stack / "s1.png"]
    write_tiff(tmp_path / "volumes" / "b.tif")
    assert list_volumes(tmp_path / "volumes") == [tmp_path / "volumes" / "b.tif"]
    with pytest.raises(DataError, match="only the subfolders sections, volumes"):
        list_volumes(tmp_path)


def test_a_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", (4000, 4000, 4000), np.uint8, chunks=(64, 64, 64))
    with pytest.raises(DataError, match=r"claims 4,000 x 4,000 x 4,000"):
        open_volume(path)
