"""Inputs that must be refused with an error naming the file and the fix, each made in an empty folder."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tifffile
from PIL import Image

from morula.core.types import Axes
from morula.data.ome_zarr import write_image

__all__ = ["BAD_INPUTS", "BAD_LARGE_IMAGES", "BAD_VOLUMES"]

Maker = Callable[[Path], tuple[Path, Path | None]]
"""Makes and fills a folder (it may exist, empty); returns the images and, where they matter, the labels."""


def _picture(height: int = 32, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (height, width), dtype=np.uint8)


def _image(folder: Path) -> tuple[Path, Path]:
    images, labels = folder / "images", folder / "labels"
    images.mkdir()
    labels.mkdir()
    Image.fromarray(_picture()).save(images / "a.png")
    return images, labels


def _alone(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> tuple[Path, None]:
        (folder / name).write_bytes(content)
        return folder, None

    return make


def _tiff(name: str, array: np.ndarray, **options: object) -> Maker:
    def make(folder: Path) -> tuple[Path, None]:
        tifffile.imwrite(folder / name, array, **options)
        return folder, None

    return make


def _with_label(array: np.ndarray, name: str = "a.tif") -> Maker:
    def make(folder: Path) -> tuple[Path, Path]:
        images, labels = _image(folder)
        tifffile.imwrite(labels / name, array)
        return images, labels

    return make


def _missing_planes(folder: Path) -> tuple[Path, None]:
    """The description names more planes than there are, as that of one file of several does."""
    path = folder / "part.ome.tif"
    tifffile.imwrite(path, np.stack([_picture()] * 3), metadata={"axes": "ZYX"}, photometric="minisblack")
    described = path.read_bytes()
    assert described.count(b'SizeZ="3"') == 1
    path.write_bytes(described.replace(b'SizeZ="3"', b'SizeZ="5"'))
    return folder, None


def _empty_folder(folder: Path) -> tuple[Path, None]:
    return folder, None


def _missing_path(folder: Path) -> tuple[Path, None]:
    return folder / "nowhere", None


def _truncated_png(folder: Path) -> tuple[Path, None]:
    path = folder / "cut.png"
    Image.fromarray(_picture()).save(path)
    path.write_bytes(path.read_bytes()[:700])
    return folder, None


def _truncated_tiff(folder: Path) -> tuple[Path, None]:
    path = folder / "cut.tif"
    tifffile.imwrite(path, _picture())
    path.write_bytes(path.read_bytes()[:700])
    return folder, None


def _truncated_stack(folder: Path) -> tuple[Path, None]:
    """The pages end early: a reader that follows the page chain sees fewer sections and no damage."""
    path = folder / "cut.tif"
    tifffile.imwrite(path, np.stack([_picture()] * 3), imagej=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes()[:-120])
    return folder, None


def _huge_png(folder: Path) -> tuple[Path, None]:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return folder, None


def _tiny(folder: Path) -> tuple[Path, None]:
    Image.fromarray(_picture(1, 1)).save(folder / "dot.png")
    return folder, None


def _same_stem(folder: Path) -> tuple[Path, None]:
    Image.fromarray(_picture()).save(folder / "a.png")
    tifffile.imwrite(folder / "a.tif", _picture())
    return folder, None


def _orphan_label(folder: Path) -> tuple[Path, Path]:
    images, labels = _image(folder)
    tifffile.imwrite(labels / "b.tif", np.ones((32, 40), np.uint16))
    return images, labels


def _colour_label(folder: Path) -> tuple[Path, Path]:
    images, labels = _image(folder)
    colours = np.stack([_picture(), _picture()[::-1], _picture()], axis=-1)
    Image.fromarray(colours).save(labels / "a.png")
    return images, labels


def _evil_xml(folder: Path) -> tuple[Path, Path]:
    images, labels = _image(folder)
    bomb = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><Annotations>&c;</Annotations>'
    (labels / "a.xml").write_text(bomb)
    return images, labels


def _stack(depth: int = 3, height: int = 32, width: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 255, (depth, height, width), dtype=np.uint8)


def _with_hdf5(key: str, cut: int = 0, **arrays: np.ndarray) -> Maker:
    """A file of data sets, without its last `cut` bytes, of which `key` is named."""

    def make(folder: Path) -> tuple[Path, None]:
        path = folder / "cube.h5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
        path.write_bytes(path.read_bytes()[: -cut or None])
        return Path(f"{path}{key}"), None

    return make


def _unwritten_hdf5(folder: Path) -> tuple[Path, None]:
    with h5py.File(folder / "cube.h5", "w") as file:
        file.create_dataset("raw", (4000, 4000, 4000), np.uint8, chunks=(64, 64, 64))
    return folder / "cube.h5", None


def _truncated_mrc(folder: Path) -> tuple[Path, None]:
    path = folder / "cube.mrc"
    with mrcfile.new(path) as file:
        file.set_data(_stack())
    path.write_bytes(path.read_bytes()[:-500])
    return path, None


def _turned_mrc(folder: Path) -> tuple[Path, None]:
    with mrcfile.new(folder / "cube.mrc") as file:
        file.set_data(_stack())
        file.header.mapc, file.header.maps = 3, 1
    return folder / "cube.mrc", None


def _sections(*planes: np.ndarray) -> Maker:
    def make(folder: Path) -> tuple[Path, None]:
        for number, plane in enumerate(planes):
            Image.fromarray(plane).save(folder / f"s{number}.png")
        return folder, None

    return make


def _sections_beside_volumes(folder: Path) -> tuple[Path, None]:
    tifffile.imwrite(folder / "cube.tif", _stack(), photometric="minisblack")
    Image.fromarray(_picture()).save(folder / "s0.png")
    return folder, None


def _stack_with_labels(labels: np.ndarray) -> Maker:
    def make(folder: Path) -> tuple[Path, Path]:
        tifffile.imwrite(folder / "cube_raw.tif", _stack(), photometric="minisblack")
        with h5py.File(folder / "cube_mito.h5", "w") as file:
            file["labels"] = labels
        return folder / "cube_raw.tif", folder / "cube_mito.h5"

    return make


def _labels_of_others(folder: Path) -> tuple[Path, Path]:
    images, labels = folder / "images", folder / "labels"
    images.mkdir()
    labels.mkdir()
    for name in ("a_raw", "b_raw"):
        tifffile.imwrite(images / f"{name}.tif", _stack(), photometric="minisblack")
    for name in ("a_mito", "c_mito"):
        tifffile.imwrite(labels / f"{name}.tif", _stack(), photometric="minisblack")
    return images, labels


def _same_folder(folder: Path) -> tuple[Path, Path]:
    tifffile.imwrite(folder / "a.tif", _stack(), photometric="minisblack")
    return folder, folder


def _with_zarr(spoil: Callable[[Path], object], array: np.ndarray | None = None) -> Maker:
    """A store that `spoil` damages after it was written."""

    def make(folder: Path) -> tuple[Path, None]:
        path = folder / "cube.ome.zarr"
        whole = _stack() if array is None else array
        write_image(path, whole, Axes("zyx"), chunks=(1, 16, 16), shards=(1, 16, 16))
        spoil(path)
        return path, None

    return make


def _without_pixels(path: Path) -> None:
    described = json.loads((path / "0/zarr.json").read_text())
    (path / "0/zarr.json").write_text(json.dumps({**described, "shape": [0, 32, 40]}))


def _without_scales(path: Path) -> None:
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))


def _with_half_a_chunk(path: Path) -> None:
    chunk = path / "0/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:20])


_COLOURS = np.stack([_picture(), _picture()[::-1], _picture()], axis=-1)


def _in_its_folder(make: Maker) -> Maker:
    def ready(folder: Path) -> tuple[Path, Path | None]:
        folder.mkdir(parents=True, exist_ok=True)
        return make(folder)

    return ready


_MAKERS: dict[str, Maker] = {
    "empty folder": _empty_folder,
    "missing path": _missing_path,
    "truncated PNG": _truncated_png,
    "truncated TIFF": _truncated_tiff,
    "truncated stack": _truncated_stack,
    "missing planes": _missing_planes,
    "empty file": _alone("empty.png", b""),
    "text named .tif": _alone("notes.tif", b"these are my notes\n"),
    "text named .png": _alone("notes.png", b"these are my notes\n"),
    "decompression bomb": _huge_png,
    "one pixel": _tiny,
    "5-D OME-TIFF": _tiff(
        "movie.ome.tif",
        np.zeros((2, 2, 3, 32, 40), np.uint8),
        metadata={"axes": "TZCYX"},
        photometric="minisblack",
    ),
    "all NaN": _tiff("nan.tif", np.full((32, 40), np.nan, np.float32)),
    "one infinity": _tiff("inf.tif", np.where(np.eye(32, 40) > 0, np.inf, 0).astype(np.float32)),
    "complex numbers": _tiff("wave.tif", np.zeros((32, 40), np.complex64)),
    "no image kind": _alone("cells.czi", b"ZISRAWFILE"),
    "duplicate stems": _same_stem,
    "label of another size": _with_label(np.ones((30, 40), np.uint16)),
    "negative label": _with_label(np.full((32, 40), -1, np.int16)),
    "float label": _with_label(np.full((32, 40), 0.5, np.float32)),
    "colour label": _colour_label,
    "label without image": _orphan_label,
    "malicious XML": _evil_xml,
}

_VOLUME_MAKERS: dict[str, Maker] = {
    "missing key": _with_hdf5(":/raw", volume=_stack(), other=_picture()),
    "a group for a key": _with_hdf5(":/group", **{"group/volume": _stack()}),
    "two volumes and no key": _with_hdf5("", raw=_stack(), labels=_stack()),
    "no volume at all": _with_hdf5("", picture=_picture()),
    "a slash for a colon": _with_hdf5("/raw", raw=_stack()),
    "a table for a volume": _with_hdf5(":/table", table=np.zeros(9)),
    "four axes": _with_hdf5(":/all", all=np.zeros((2, 3, 32, 40), np.uint8)),
    "words for voxels": _with_hdf5(":/words", words=np.full((2, 32, 40), b"cell")),
    "truncated HDF5": _with_hdf5("", cut=99, raw=_stack()),
    "HDF5 that nobody wrote to": _unwritten_hdf5,
    "text named .h5": _alone("notes.h5", b"these are my notes\n"),
    "text named .mrc": _alone("notes.mrc", b"these are my notes\n" * 100),
    "empty HDF5": _alone("empty.h5", b""),
    "missing HDF5": lambda folder: (folder / "nowhere.h5", None),
    "truncated MRC": _truncated_mrc,
    "turned MRC": _turned_mrc,
    "one section of another size": _sections(_picture(), _picture(), _picture(30)),
    "one section of another type": _sections(_picture(), _picture(), _picture().astype(np.uint16)),
    "a coloured section": _sections(_picture(), _COLOURS),
    "sections beside volumes": _sections_beside_volumes,
    "channels": _tiff("two.tif", _stack(2), metadata={"axes": "CYX"}, photometric="minisblack"),
    "label volume of another depth": _stack_with_labels(_stack(2)),
    "label ids beyond 2^53": _stack_with_labels(np.full((3, 32, 40), 2**53 + 1, np.uint64)),
    "label volume of floats": _stack_with_labels(np.ones((3, 32, 40), np.float32)),
    "labels of other volumes": _labels_of_others,
    "labels in the folder of the images": _same_folder,
}

_VOLUME_MAKERS |= {
    "zarr with a missing chunk": _with_zarr(lambda path: (path / "0/c/1/0/0").unlink()),
    "zarr with half a chunk": _with_zarr(_with_half_a_chunk),
    "zarr without an axis": _with_zarr(_without_pixels),
    "zarr of complex numbers": _with_zarr(lambda _: None, np.zeros((2, 32, 40), np.complex64)),
    "zarr with NaN": _with_zarr(lambda _: None, np.where(_stack() > 250, np.nan, 0).astype(np.float32)),
    "zarr without multiscales": _with_zarr(_without_scales),
    "zarr without a level": _with_zarr(lambda path: shutil.rmtree(path / "0")),
    "zarr that is not JSON": _with_zarr(lambda path: (path / "zarr.json").write_text("{")),
    "missing zarr": lambda folder: (folder / "nowhere.ome.zarr", None),
}

BAD_INPUTS: dict[str, Maker] = {name: _in_its_folder(make) for name, make in _MAKERS.items()}
BAD_VOLUMES: dict[str, Maker] = {name: _in_its_folder(make) for name, make in _VOLUME_MAKERS.items()}


def _large(change: Callable[[Path], None], array: np.ndarray | None = None, axes: str = "yx") -> Maker:
    """An OME-Zarr as large images are kept in."""

    def make(folder: Path) -> tuple[Path, None]:
        path = folder / "large.ome.zarr"
        chunks = (16,) * len(axes)
        write_image(
            path, _picture(64, 64) if array is None else array, Axes(axes), chunks=chunks, shards=chunks
        )
        change(path)
        return path, None

    return make


def _cut_tiles(folder: Path) -> tuple[Path, None]:
    path = folder / "tiles.tif"
    tifffile.imwrite(path, _picture(64, 64), tile=(16, 16))
    path.write_bytes(path.read_bytes()[:-600])
    return path, None


_LARGE_MAKERS: dict[str, tuple[Maker, str]] = {
    "zarr with a missing chunk": (
        _large(lambda path: (path / "0/c/1/0").unlink()),
        "1 of 16 chunks are missing",
    ),
    "zarr with NaN": (_large(lambda _: None, np.full((64, 64), np.nan, np.float32)), "not finite"),
    "a stack": (_large(lambda _: None, np.stack([_picture(64, 64)] * 2), "zyx"), "the run is for 2D images"),
    "several stacks": (
        _large(lambda _: None, np.stack([_picture(64, 64)] * 4).reshape(2, 2, 64, 64), "czyx"),
        "the run is for 2D images",
    ),
    "missing zarr": (lambda folder: (folder / "nowhere.ome.zarr", None), "no such file"),
    "tiles that end early": (_cut_tiles, "cut short"),
}


def _expected(make: Maker, found: str) -> Callable[[Path], tuple[Path, str]]:
    return lambda folder: (_in_its_folder(make)(folder)[0], found)


BAD_LARGE_IMAGES = {name: _expected(*row) for name, row in _LARGE_MAKERS.items()}
"""The same of images of any size: the image, and what the error must say of it."""
