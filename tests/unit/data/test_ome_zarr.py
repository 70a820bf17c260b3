"""OME-Zarr: what is written can be read by us, by the reference reader and by its metadata models."""

from __future__ import annotations

import errno
import json
import pickle
import re
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from morula.core.errors import DataError, ResourceError, UsageError
from morula.core.types import Axes, Voxel
from morula.data import load_block, load_volumes, open_volume, read_labels
from morula.data.ome_zarr import (
    StoredArray,
    absent_chunks,
    create_image,
    factors_of,
    open_ome_zarr,
    read_multiscale,
    scratch,
    shrink,
    write_image,
    write_labels,
)
from morula.workflows.evaluate import evaluate
from morula.workflows.plan import plan
from morula.workflows.store_scores import store_scores

RNG = np.random.default_rng(5)
GREY = RNG.integers(1, 255, (3, 300, 40), dtype=np.uint8)
LABELS = np.kron(RNG.integers(0, 7, (3, 30, 4)), np.ones((1, 10, 10), int)).astype(np.uint32) * 100_000
SIZE = Voxel(z=40.0, y=4.0, x=4.0)
SMALL = {"chunks": (1, 64, 16), "shards": (2, 128, 32)}


@pytest.fixture(scope="module", params=["0.5", "0.4"])
def store(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "a.ome.zarr"
    write_image(path, GREY, Axes("zyx"), SIZE, version=request.param, **SMALL)
    write_labels(path, "mito", LABELS, Axes("zyx"), SIZE, version=request.param, **SMALL)
    return path


def test_every_level_comes_back_with_its_size(store):
    image = open_volume(store)
    assert np.array_equal(image.read(), GREY) and image.axes.order == "zyx" and image.voxel == SIZE
    assert np.array_equal(image[1, 7:99, ::-2], GREY[1, 7:99, ::-2])
    coarse = open_volume(store / "1")
    assert coarse.shape == (3, 150, 20) and coarse.voxel == Voxel(z=40.0, y=8.0, x=8.0)
    blocks = GREY.reshape(3, 150, 2, 20, 2).mean(axis=(2, 4))
    assert np.array_equal(coarse.read(), np.rint(blocks).astype(np.uint8))
    assert np.array_equal(open_ome_zarr(store, level=1).read(), coarse.read())
    with pytest.raises(DataError, match="no level 2; there are 2"):
        open_ome_zarr(store, level=2)


def test_labels_are_never_averaged(store):
    assert np.array_equal(read_labels(store / "labels/mito"), LABELS)
    coarse = open_ome_zarr(store / "labels/mito", level=1).read()
    assert coarse.dtype == np.uint32 and set(np.unique(coarse)) <= set(np.unique(LABELS))
    ((record,), _) = load_volumes(store, store / "labels/mito")
    assert record.id == "a" and record.labels is not None and np.array_equal(record.labels(), LABELS)


def test_the_models_accept_the_metadata(store):
    from ome_zarr_models import v04, v05

    version = read_multiscale(store).version
    for group, name in (
        (zarr.open_group(store, mode="r"), "Image"),
        (zarr.open_group(store / "labels/mito", mode="r"), "ImageLabel"),
    ):
        if version == "0.5":
            assert getattr(v05, name).from_zarr(group).attributes.ome.version == "0.5"
        else:
            kinds = {"Image": v04.image.ImageAttrs, "ImageLabel": v04.image_label.ImageLabelAttrs}
            assert kinds[name].model_validate(dict(group.attrs)).multiscales[0].version == "0.4"


def test_the_reference_reader_finds_the_image_and_its_labels(store):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Reader

        nodes = {Path(node.zarr.path).name: node for node in Reader(parse_url(store))()}
    assert np.array_equal(np.asarray(nodes["a.ome.zarr"].data[0]), GREY)
    assert np.array_equal(np.asarray(nodes["mito"].data[0]), LABELS)
    assert [each["name"] for each in nodes["mito"].metadata["axes"]] == ["z", "y", "x"]


def test_one_object_holds_many_chunks(tmp_path):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"), **SMALL)
    found = zarr.open_array(tmp_path / "a.zarr/0", mode="r")
    assert found.chunks == (1, 64, 16) and found.shards == (2, 128, 32)
    files = [path for path in (tmp_path / "a.zarr/0").rglob("*") if path.is_file()]
    assert len(files) == 1 + 2 * 3 * 2


@pytest.mark.parametrize(("version", "shards"), [(2, None), (3, None), (3, (8, 8))])
def test_lost_chunks_are_counted_whatever_else_lies_there(version, shards, tmp_path):
    group = zarr.open_group(tmp_path, mode="w", zarr_format=version)
    array = group.create_array("a/b", shape=(20, 20), chunks=(4, 4), shards=shards, dtype=np.uint8)
    array[:8, :9] = 1
    (tmp_path / "a" / "b" / "notes.txt").touch()
    assert StoredArray(str(tmp_path), "a/b").missing == ((7, 9) if shards else (19, 25))


def test_it_travels_by_name(store):
    image = pickle.loads(pickle.dumps(open_volume(store)))
    assert np.array_equal(image[0], GREY[0])
    assert len(pickle.dumps(image)) < 2000


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_voxels_that_are_written_anew_change_the_fingerprint(version, tmp_path):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"), version=version, **SMALL)
    before = open_volume(tmp_path / "a.zarr").fingerprint
    assert open_volume(tmp_path / "a.zarr").fingerprint == before
    StoredArray(str(tmp_path / "a.zarr"), "0", writable=True)[...] = 255 - GREY
    after = open_volume(tmp_path / "a.zarr").fingerprint
    (chunk, *_) = (path for path in (tmp_path / "a.zarr/0").rglob("*") if path.name == "0" and path.is_file())
    chunk.write_bytes(chunk.read_bytes())  # in place, as `cp` does
    assert len({before, after, open_volume(tmp_path / "a.zarr").fingerprint}) == 3


class Ranges(SimpleHTTPRequestHandler):
    """An object store as far as reading goes: files, and parts of them from the start or the end."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body, status = path.read_bytes(), 200
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            first, last = asked.groups()
            body = body[int(first) : int(last) + 1 if last else None] if first else body[-int(last) :]
            status = 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def test_a_store_behind_a_server(store):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(store.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert np.array_equal(open_volume(f"{address}/a.ome.zarr")[1:, 100:200, 3], GREY[1:, 100:200, 3])
        assert np.array_equal(open_volume(f"{address}/a.ome.zarr/labels/mito")[0], LABELS[0])
        with pytest.raises(DataError, match="Fix:"):
            open_volume(f"{address}/b.ome.zarr")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_store_in_memory_is_one_of_fsspec(tmp_path):
    array = GREY[:1, :20]
    write_image("memory://a.ome.zarr", array, Axes("zyx"), SIZE)
    assert np.array_equal(open_volume("memory://a.ome.zarr").read(), array)


def rewritten(path: Path, **changes: object) -> Path:
    file = path / "zarr.json"
    described = json.loads(file.read_text())
    described["attributes"]["ome"]["multiscales"][0] |= changes
    file.write_text(json.dumps(described))
    return path


@pytest.mark.parametrize(
    ("unit", "voxel"),
    [("micrometer", Voxel(z=4e4, y=4e3, x=4e3)), ("", None), ("parsec", None)],
)
def test_units_are_converted_and_never_guessed(tmp_path, unit, voxel):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"), SIZE)
    axes = [{"name": name, "type": "space", **({"unit": unit} if unit else {})} for name in "zyx"]
    rewritten(tmp_path / "a.zarr", axes=axes)
    assert open_volume(tmp_path / "a.zarr").voxel == voxel
    assert open_volume(tmp_path / "a.zarr", voxel=SIZE).voxel == SIZE


SHIFT = {"type": "translation", "translation": [100.0, 0.0, 7.0]}


def test_what_all_levels_have_in_common_comes_after_their_own(tmp_path):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"), SIZE)
    common = [{"type": "scale", "scale": [0.5, 3.0, 2.0]}, SHIFT]
    rewritten(tmp_path / "a.zarr", coordinateTransformations=common)
    assert open_volume(tmp_path / "a.zarr").voxel == Voxel(z=20.0, y=12.0, x=8.0)
    fine, coarse = read_multiscale(tmp_path / "a.zarr").levels
    assert fine.translation == (100.0, 0.0, 7.0)
    assert coarse.scale == (20.0, 24.0, 16.0) and coarse.translation == (100.0, 6.0, 11.0)


def five(path: Path, times: int, channels: int) -> Path:
    root = zarr.create_group(path)
    array = np.arange(times * channels * 2 * 20 * 30).reshape(times, channels, 2, 20, 30).astype(np.uint16)
    root.create_array("s0", data=array)
    axes = [{"name": name, "type": "x"} for name in "tczyx"]
    steps = [{"type": "scale", "scale": [1.0] * 5}]
    scale = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}]}
    omero = {"channels": [{"label": name} for name in ("DAPI", "GFP")[:channels]]}
    root.attrs["ome"] = {"version": "0.5", "multiscales": [scale], "omero": omero}
    return path


def test_axes_of_one_entry_are_dropped_and_channels_named(tmp_path):
    image = open_volume(five(tmp_path / "a.zarr", 1, 2))
    assert image.axes.order == "czyx" and image.channels == ("DAPI", "GFP") and image.shape == (2, 2, 20, 30)
    assert np.array_equal(image[1, ..., 4], image.read()[1, ..., 4])
    alone = open_volume(five(tmp_path / "b.zarr", 1, 1))
    assert alone.axes.order == "zyx" and np.array_equal(alone[1], alone.read()[1])
    with pytest.raises(DataError, match="2 time points"):
        open_volume(five(tmp_path / "c.zarr", 2, 1))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"axes": [{"name": name} for name in "xyz"]}, "axes xyz"),
        ({"axes": [{"name": "z"}]}, "2 scales|3 scales"),
        ({"datasets": []}, "without any level"),
        ({"datasets": [{"path": "0"}]}, "coordinateTransformations"),
        ({"datasets": 3}, "cannot be read"),
        ({"datasets": [{"path": "0", "coordinateTransformations": [SHIFT]}]}, "a level without a scale"),
        ({"coordinateTransformations": [{"type": "affine", "affine": []}]}, "of type affine"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [2.0]}]}, "1 scales for 3 axes"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [1, 0, 1]}]}, r"the scale \[40.0, 0.0"),
    ],
)
def test_metadata_that_no_image_has(tmp_path, changes, told):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"), SIZE)
    with pytest.raises(DataError, match=told):
        open_volume(rewritten(tmp_path / "a.zarr", **changes))


@pytest.fixture(params=[2, 3])
def plain(request, tmp_path) -> Path:
    """Arrays as CREMI has them, a block of neurons at 1, 20, 5, without any metadata of OME-Zarr."""
    file = zarr.open_group(tmp_path / "sample.zarr", mode="w", zarr_format=request.param)
    block = LABELS[1:, 20:120, 5:40].astype(np.uint64)
    for name, array, first in (("raw", GREY, (0, 0, 0)), ("labels/neuron_ids", block, (40, 80, 20))):
        stored = file.create_array(f"volumes/{name}", data=array, chunks=(1, 64, 16))
        stored.attrs.update({"resolution": [40.0, 4.0, 4.0], "offset": list(first)})
    return tmp_path / "sample.zarr/volumes"


def test_a_plain_array_is_a_volume(plain):
    image = open_volume(plain / "raw")
    assert (image.axes.order, image.voxel) == ("zyx", SIZE)
    np.testing.assert_array_equal(image[1:, 60:70], GREY[1:, 60:70])
    assert pickle.loads(pickle.dumps(image)).fingerprint == image.fingerprint


def test_plain_labels_lie_where_their_offset_says(plain):
    record = load_block(plain / "raw", plain / "labels/neuron_ids")
    assert record.box == (slice(1, 3), slice(20, 120), slice(5, 40))
    np.testing.assert_array_equal(record.labels(), LABELS[1:, 20:120, 5:40])


def test_a_plain_array_that_is_no_volume_is_refused(tmp_path):
    zarr.save_array(tmp_path / "a.zarr", np.zeros((2, 2, 30, 30), np.uint8))
    with pytest.raises(DataError, match="4 axes without OME-Zarr metadata"):
        open_volume(tmp_path / "a.zarr")


def test_a_plain_array_with_a_hole_is_refused(plain):
    (plain / "raw").joinpath("c/1/0/0" if (plain / "raw/c").exists() else "1.0.0").unlink()
    with pytest.raises(DataError, match="1 of 45 chunks are missing"):
        open_volume(plain / "raw")


def test_nothing_is_overwritten(tmp_path):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"))
    with pytest.raises(UsageError, match="something already"):
        write_image(tmp_path / "a.zarr", GREY, Axes("zyx"))
    write_labels(tmp_path / "a.zarr", "mito", LABELS, Axes("zyx"))
    with pytest.raises(UsageError, match="labels of this name"):
        write_labels(tmp_path / "a.zarr", "mito", LABELS, Axes("zyx"))
    with pytest.raises(DataError, match="size zero"):
        create_image(tmp_path / "b.zarr", (0, 4, 4), np.uint8, Axes("zyx"))
    with pytest.raises(DataError, match="whole numbers"):
        write_labels(tmp_path / "a.zarr", "map", np.zeros((2, 4, 4)), Axes("zyx"))


def test_numbers_that_are_none_are_refused_where_they_are_read(tmp_path):
    array = GREY.astype(np.float32)
    array[1, 9, 9] = np.inf
    write_image(tmp_path / "a.zarr", array, Axes("zyx"))
    image = pickle.loads(pickle.dumps(open_volume(tmp_path / "a.zarr")))
    assert np.array_equal(image[1, 10:], array[1, 10:])
    with pytest.raises(DataError, match=r"a\.zarr/0: 1 of 12,000 pixels are not finite"):
        image[1]


def test_a_store_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **options):
        (tmp_path / "a.zarr" / "0").mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zarr, "create_array", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_image(tmp_path / "a.zarr", GREY, Axes("zyx"))
    assert list(tmp_path.iterdir()) == []


def test_a_group_and_nothing_are_no_arrays(tmp_path):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"))
    for path, told in (("", "a group where an array should be"), ("9", "9: ")):
        with pytest.raises(DataError, match=told) as caught:
            _ = StoredArray(str(tmp_path / "a.zarr"), path).shape
        assert "argument" not in str(caught.value)


def test_a_scratch_array_that_is_half_there_is_made_anew(tmp_path):
    made = scratch(tmp_path / "a.zarr", (4, 4), np.uint8, (2, 2))
    made[:2, :2] = np.ones((2, 2), np.uint8)
    (tmp_path / "a.zarr" / "zarr.json").unlink()
    again = scratch(tmp_path / "a.zarr", (4, 4), np.uint8, (2, 2))
    assert not again[:2, :2].any() and again.shape == (4, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    with pytest.raises(UsageError, match="an array"):
        scratch(tmp_path / "a.zarr", (4, 5), np.uint8, (2, 2))


def test_several_labels_are_listed(tmp_path):
    write_image(tmp_path / "a.zarr", GREY, Axes("zyx"))
    for name in ("b", "a"):
        write_labels(tmp_path / "a.zarr", name, LABELS, Axes("zyx"))
    assert zarr.open_group(tmp_path / "a.zarr/labels", mode="r").attrs["ome"]["labels"] == ["a", "b"]


def test_a_pyramid_halves_thick_sections_last():
    assert factors_of((100, 1000, 600), Axes("zyx"), Voxel(z=10.0, y=10.0, x=10.0))[-1] == (4, 4, 4)
    assert factors_of((100, 3000, 600), Axes("zyx"), Voxel(z=40.0, y=10.0, x=10.0))[-1] == (4, 16, 16)
    assert factors_of((2, 3000, 600), Axes("zyx"), None)[-1] == (2, 16, 16)
    assert factors_of((3, 500, 300), Axes("cyx"), None) == ((1, 1, 1), (1, 2, 2))


def test_the_mode_is_the_slow_one():
    labels = RNG.integers(0, 3, (5, 6, 7))
    found = shrink(labels, (2, 2, 3), "mode")
    padded = np.pad(labels, ((0, 1), (0, 0), (0, 2)), mode="edge")
    for place in np.ndindex(*found.shape):
        window = padded[tuple(slice(n * f, n * f + f) for n, f in zip(place, (2, 2, 3), strict=True))]
        assert found[place] == np.bincount(window.ravel()).argmax()


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """Labels of which two of eight chunks are empty, and so not stored."""
    array = zarr.create_array(
        store=tmp_path / "ids.zarr", shape=(20, 20, 20), chunks=(10, 10, 10), dtype="uint16", zarr_format=2
    )
    array[:, :, 4:] = 3
    array[:, :10, :10] = 0
    return tmp_path / "ids.zarr"


def test_chunks_of_labels_that_are_not_stored_are_told_of(holed: Path, tmp_path: Path) -> None:
    told = absent_chunks(holed)
    assert told is not None and re.search(
        r"2 of 8 chunks of .*ids\.zarr are not stored and are read as 0", told
    )
    raw = tmp_path / "raw.tif"
    tifffile.imwrite(raw, RNG.integers(0, 255, (20, 20, 20), dtype=np.uint8))
    assert told in plan(raw, labels=holed, voxel=Voxel(z=10, y=10, x=10)).warnings
    assert evaluate(holed, holed, kind="neurons")["warnings"] == [told, told]
    full = tmp_path / "full.zarr"
    zarr.create_array(store=full, data=np.ones((20, 20, 20), np.uint16), chunks=(10, 10, 10))
    assert absent_chunks(full) is None and absent_chunks(raw) is None
    assert "warnings" not in evaluate(full, full, kind="neurons")


def test_chunks_of_labels_that_nothing_stands_for_are_refused(holed: Path) -> None:
    metadata = json.loads((holed / ".zarray").read_text())
    (holed / ".zarray").write_text(json.dumps(metadata | {"fill_value": None}))
    for read in (read_labels, lambda path: store_scores(path, path, "neurons")):
        with pytest.raises(DataError, match="2 of 8 chunks are missing, and fill_value null"):
            read(holed)
