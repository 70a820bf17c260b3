"""Volumes: what is read of them, and what voxel size they get."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError
from morula.core.types import Voxel
from morula.data import list_volumes, load_volumes, open_volume, read_labels
from morula.data.hdf5 import split_key
from volume_files import GREY, MASK, STACK, labels_of, one, write_hdf5, write_mrc, write_sections, write_tiff

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


def ids_of(*numbers: int) -> np.ndarray:
    """A uint64 volume of these ids, every other section in reverse."""
    section = np.array([[*numbers] * 10] * 20, np.uint64)
    return np.stack([section, section[:, ::-1]])


@pytest.mark.parametrize("largest", [2**31, 2**40, 2**53])
def test_large_ids_are_numbered_anew(largest: int, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", ids=ids_of(largest, 7, 0, largest - 1))
    found = read_labels(path)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, ids_of(3, 1, 0, 2))


def test_a_volume_without_background_keeps_none(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", ids=ids_of(2**40, 2**41))
    np.testing.assert_array_equal(read_labels(path), ids_of(1, 2))


@pytest.mark.parametrize("number", [2**53, 2**63 + 5])
def test_ids_beyond_2_to_the_53_stay_exact_in_images_and_are_refused_as_labels(
    number: int, tmp_path: Path
) -> None:
    path = write_hdf5(tmp_path / "a.h5", ids=ids_of(number, number + 1))
    found = open_volume(path)
    assert found.dtype == np.uint64
    assert np.unique(found[1, 3]).tolist() == [number, number + 1]
    with pytest.raises(DataError, match=rf"{number + 1}.*2\^53"):
        read_labels(path)


STACK_OF_SUPERVOXELS = ids_of(1, 2, 3, 0, 5)
BODIES = np.array([[3, 2**40], [2, 9], [1, 9], [4, 8]], np.uint64)


def test_supervoxels_of_neuroproof_become_bodies(tmp_path: Path) -> None:
    """5 has no row and stays a body of its own."""
    path = write_hdf5(tmp_path / "groundtruth.h5", stack=STACK_OF_SUPERVOXELS, transforms=BODIES)
    for each in (path, Path(f"{path}:/stack")):
        np.testing.assert_array_equal(read_labels(each), ids_of(2, 2, 3, 0, 1))


def test_a_table_beside_another_data_set_is_none_of_bodies(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", ids=STACK_OF_SUPERVOXELS, transforms=BODIES)
    np.testing.assert_array_equal(read_labels(path), STACK_OF_SUPERVOXELS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (BODIES[:, :1], "table /transforms of 4 x 1"),
        (np.array([[1, 2], [1, 3]]), "two bodies for supervoxel 1"),
    ],
)
def test_a_table_that_names_no_bodies_is_refused(table: np.ndarray, message: str, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "groundtruth.h5", stack=STACK_OF_SUPERVOXELS, transforms=table)
    with pytest.raises(DataError, match=message):
        read_labels(path)


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


def test_labels_of_which_a_block_was_written_are_read_and_an_empty_claim_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("ids", (600, 700, 700), np.uint32, chunks=(10, 64, 64))
    with pytest.raises(DataError, match="600 x 700 x 700 uint32 to which nothing was written"):
        open_volume(path)
    with h5py.File(path, "a") as file:
        file["ids"][10:20, 64:128, :64] = 7
    assert path.stat().st_size < 200_000
    labels = open_volume(path)[10:21, 100, 63:65]
    assert (labels[:10, 0] == 7).all() and not labels[10].any() and not labels[:, 1].any()


def test_a_key_has_slashes_on_windows_too() -> None:
    assert split_key(PureWindowsPath(r"a\b.h5:/volumes/raw")) == (Path("a/b.h5"), "/volumes/raw")


def test_folders_of_sections_in_a_folder_are_told_of(tmp_path: Path) -> None:
    for name in ("n0", "n1"):
        write_sections(tmp_path / name, STACK)
    with pytest.raises(DataError, match=r"only the subfolders n0, n1\. Fix: .* one TIFF stack, or name one"):
        list_volumes(tmp_path)
    assert list_volumes(tmp_path / "n0") == [tmp_path / "n0"]
