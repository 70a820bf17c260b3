"""Public sets against a server on this machine, with small archives in the real layouts."""

from __future__ import annotations

import errno
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.core.errors import DataError, ResourceError, UsageError
from morula.core.hashing import file_sha256
from morula.data import sets
from morula.data.sets import bbbc038, bcdata, livecell, monuseg
from morula.data.sets.archive import fetch
from server import Quiet, serving
from set_files import zipped


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that it is served under."""
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(partial(Quiet, directory=str(folder))) as address:
        yield folder, address


def png(array: np.ndarray, mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, "PNG")
    return stream.getvalue()


def tif(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array)
    return stream.getvalue()


def h5(points: list[list[int]], key: str = "coordinates") -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file[key] = np.array(points, np.int64).reshape(-1, 2) if points else np.zeros((0, 2))
    return stream.getvalue()


def xml(*polygons: list[tuple[float, float]]) -> bytes:
    regions = "".join(
        f'<Region Id="{number}"><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in polygon)
        + "</Vertices></Region>"
        for number, polygon in enumerate(polygons, start=1)
    )
    return f"<Annotations><Annotation><Regions>{regions}</Regions></Annotation></Annotations>".encode()


def without_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the small archives stand for the real ones."""
    trusting = {
        name: replace(public, files=tuple(replace(file, sha256=None) for file in public.files))
        for name, public in sets.SETS.items()
    }
    monkeypatch.setattr(sets, "SETS", MappingProxyType(trusting))


PINK = np.full((20, 24, 3), 200, np.uint8)
SQUARE = [(2, 3), (8, 3), (8, 9), (2, 9)]


def test_monuseg(served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = served
    top = "MoNuSeg 2018 Training Data/MoNuSeg 2018 Training Data"
    train = {
        f"{top}/Tissue Images/{name}.tif": tif(PINK) for name in (*monuseg.CLASSIC_TRAIN, "TCGA-XX-EXTR-01Z")
    }
    train |= {
        f"{top}/Annotations/{Path(name).stem}.xml": xml(SQUARE, [(12, 1), (16, 1), (14, 5)])
        for name in list(train)
    }
    train |= {f"__MACOSX/{top}/Tissue Images/._{name}.tif": b"mac" for name in monuseg.CLASSIC_TRAIN[:2]}
    zipped(folder / "MoNuSeg 2018 Training Data.zip", train)
    test = {"MoNuSegTestData/TCGA-T1.tif": tif(PINK), "MoNuSegTestData/TCGA-T1.xml": xml(SQUARE)}
    zipped(folder / "MoNuSegTestData.zip", test)
    without_checksums(monkeypatch)
    root = sets.get("monuseg", cache=tmp_path / "cache", base_url=address)
    records = monuseg.records(root, "train")
    assert [record.id for record in records] == sorted(monuseg.CLASSIC_TRAIN)
    assert records[0].image.is_rgb
    assert records[0].labels is not None
    labels = records[0].labels()
    assert labels.shape == (20, 24)
    assert labels.max() == 2
    assert labels[6, 5] == 1
    assert labels[5, 6] == 1
    assert labels[14, 5] == 0
    assert len(monuseg.records(root, "train", classic=False)) == 31
    assert [record.id for record in monuseg.records(root, "test")] == ["TCGA-T1"]
    with pytest.raises(UsageError, match="validation"):
        monuseg.records(root, "validation")


def test_classic_train_is_the_published_list() -> None:
    assert len(set(monuseg.CLASSIC_TRAIN)) == 30
    assert {len(name) for name in monuseg.CLASSIC_TRAIN} == {23}


def test_bcdata(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    members = {"BCData/images/train/7.png": png(PINK), "BCData/images/test/9.png": png(PINK)}
    members["BCData/annotations/train/positive/7.h5"] = h5([[20, 3], [1, 2]])
    members["BCData/annotations/train/negative/7.h5"] = h5([])
    members["BCData/annotations/test/positive/9.h5"] = h5([[5, 6]], key="coordinate")
    zipped(folder / "BCData.zip", members)
    root = sets.get("bcdata", cache=tmp_path / "cache", base_url=address)
    assert [record.id for record in bcdata.records(root, "train")] == ["7"]
    points = bcdata.points(root, "train")["7"]
    assert points.yx.tolist() == [[3.0, 20.0], [2.0, 1.0]]
    assert points.classes == ("positive", "positive")
    assert points.of("negative").shape == (0, 2)
    assert bcdata.points(root, "test")["9"].yx.tolist() == [[6.0, 5.0]]
    with pytest.raises(DataError, match=r"morula data get bcdata"):
        bcdata.records(root, "validation")


def test_bbbc038(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    mask = np.zeros((20, 24), np.uint8)
    mask[2:5, 3:9] = 255
    train = {
        "a1/images/a1.png": png(PINK, "RGBA"),
        "a1/masks/m0.png": png(mask),
        "a1/masks/m1.png": png(mask[::-1]),
    }
    zipped(folder / "stage1_train.zip", train)
    zipped(folder / "stage1_test.zip", {"b1/images/b1.png": png(PINK, "RGBA")})
    zipped(
        folder / "stage2_test_final.zip", {f"{name}/images/{name}.png": png(PINK) for name in ("c1", "c2")}
    )
    runs = "2 3 42 1"  # rows 1..3 of column 0, row 1 of column 2
    (folder / "stage1_solution.csv").write_text(
        f"ImageId,EncodedPixels,Height,Width,Usage\nb1,{runs},20,24,Public\nb1,1 1,20,24,Public\n"
    )
    (folder / "stage2_solution_final.csv").write_text(
        f"ImageId,EncodedPixels,Height,Width,Usage\nc1,{runs},20,24,Private\nc2,1 1,20,24,Ignored\n"
    )
    root = sets.get("bbbc038", cache=tmp_path / "cache", base_url=address)
    (train_record,) = bbbc038.records(root, "stage1_train")
    assert train_record.image.shape == (3, 20, 24)
    assert train_record.labels is not None
    assert np.bincount(train_record.labels().ravel()).tolist() == [480 - 36, 18, 18]
    (test_record,) = bbbc038.records(root, "stage1_test")
    assert test_record.labels is not None
    labels = test_record.labels()
    assert labels[:5, 0].tolist() == [2, 1, 1, 1, 0]
    assert labels[1, 2] == 1
    assert [record.id for record in bbbc038.records(root, "stage2_test")] == ["c1"]


def coco_json(name: str) -> bytes:
    """One image with one object."""
    image = {"id": 1, "file_name": name, "height": 20, "width": 24}
    square = {"image_id": 1, "segmentation": [[number for corner in SQUARE for number in corner]]}
    return json.dumps({"images": [image], "annotations": [square]}).encode()


def test_livecell(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    wanted = {each: f"A172_Phase_B7_1_00d00h00m_{n}.tif" for n, each in enumerate(livecell.SET.splits)}
    parts = {
        each: "livecell_test_images" if "test" in each else "livecell_train_val_images" for each in wanted
    }
    images = {f"images/{parts[each]}/A172/{name}": tif(PINK[..., 0]) for each, name in wanted.items()}
    zipped(folder / "images.zip", images)
    _, *files = livecell.SET.files
    for (each, name), file in zip(wanted.items(), files, strict=True):
        (folder / file.filename).write_bytes(coco_json(name))
        kind, _, last = each.rpartition("-")
        assert file.url.endswith(f"/{kind}/{last}.json" if kind not in ("", "train") else f"{last}.json")
    sets.get("livecell", cache=tmp_path / "cache", base_url=address)
    for each, name in wanted.items():
        (record,) = sets.records("livecell", each, cache=tmp_path / "cache")
        assert f"{record.id}.tif" == name
        assert record.labels is not None
        assert record.labels().max() == 1


def test_coco(served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = served
    stream = io.BytesIO()
    Image.fromarray(PINK).save(stream, "JPEG")
    for part in ("train2017", "val2017"):
        zipped(folder / f"{part}.zip", {f"{part}/000000000139.jpg": stream.getvalue()})
    annotations = {
        f"annotations/{kind}_{part}.json": coco_json("000000000139.jpg") if kind == "instances" else b"{}"
        for kind in ("captions", "instances", "person_keypoints")
        for part in ("train2017", "val2017")
    }
    zipped(folder / "annotations_trainval2017.zip", annotations)
    without_checksums(monkeypatch)
    sets.get("coco", cache=tmp_path / "cache", base_url=address)
    for part in ("train2017", "val2017"):
        (record,) = sets.records("coco", part, cache=tmp_path / "cache")
        assert (record.id, Path(record.image.uri).parent.name) == ("000000000139", part)
        assert record.labels is not None
        assert record.labels().max() == 1


def test_a_second_get_needs_no_network(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    zipped(folder / "BCData.zip", {"BCData/images/train/7.png": png(PINK)})
    root = sets.get("bcdata", cache=tmp_path / "cache", base_url=address)
    assert sets.get("bcdata", cache=tmp_path / "cache", offline=True) == root
    (state,) = sets.check("bcdata", cache=tmp_path / "cache").values()
    assert state.startswith("ok (as first downloaded")
    (root / "BCData.zip").write_bytes(b"changed")
    assert sets.check("bcdata", cache=tmp_path / "cache") == {"BCData.zip": "WRONG CHECKSUM"}


def test_offline_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="morula data get monuseg"):
        sets.get("monuseg", cache=tmp_path, offline=True)
    assert list(tmp_path.iterdir()) == []
    assert set(sets.check("monuseg", cache=tmp_path).values()) == {"missing"}


def test_no_server(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as closed:
        port = closed.server_address[1]
    with pytest.raises(ResourceError, match="morula data get bcdata"):
        sets.get("bcdata", cache=tmp_path, base_url=f"http://127.0.0.1:{port}")


def test_a_wrong_checksum_is_refused(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    zipped(folder / "MoNuSeg 2018 Training Data.zip", {"a.txt": b"not the set"})
    with pytest.raises(ResourceError, match="SHA-256") as caught:
        sets.get("monuseg", cache=tmp_path / "cache", base_url=address)
    assert caught.value.exit_code == 4
    seen = file_sha256(folder / "MoNuSeg 2018 Training Data.zip")
    published = sets.info("monuseg")["files"][0]["sha256"]
    assert seen in str(caught.value) and published in str(caught.value)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_the_first_digits_of_a_checksum_are_enough(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    (folder / "a.pth").write_bytes(b"weights")
    start = file_sha256(folder / "a.pth")[:8]
    path = fetch(f"{address}/a.pth", start, tmp_path / "cache", "a.pth", command="again")
    assert path.read_bytes() == b"weights"
    with pytest.raises(ResourceError, match="00000000 was published"):
        fetch(f"{address}/a.pth", "00000000", tmp_path / "other", "a.pth", command="again")
    assert list((tmp_path / "other").iterdir()) == []
    path.write_bytes(b"weig")  # what is not whole is replaced
    fetch(f"{address}/a.pth", start, tmp_path / "cache", "a.pth", command="again")
    assert path.read_bytes() == b"weights" and list(path.parent.iterdir()) == [path]


def test_a_file_that_is_another_than_at_first_says_how_to_take_it(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = served
    (folder / "a.pth").write_bytes(b"weights")
    fetch(f"{address}/a.pth", None, tmp_path, "a.pth", command="again").unlink()
    (folder / "a.pth").write_bytes(b"other weights")
    with pytest.raises(ResourceError, match=r"was that of the first download.* delete \S+a\.pth\.sha256"):
        fetch(f"{address}/a.pth", None, tmp_path, "a.pth", command="again")
    (tmp_path / "a.pth.sha256").unlink()
    path = fetch(f"{address}/a.pth", None, tmp_path, "a.pth", command="again")
    assert path.read_bytes() == b"other weights"


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    class Halting(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"the first part")

    with serving(Halting) as address, pytest.raises(ResourceError, match="cannot be downloaded"):
        fetch(f"{address}/a.pth", None, tmp_path, "a.pth", command="again")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_to_is_named(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    (folder / "a.pth").write_bytes(b"weights")

    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ResourceError, match="MORULA_CACHE"):
        patch.setattr(Path, "mkdir", refused)
        fetch(f"{address}/a.pth", None, tmp_path / "cache", "a.pth", command="again")


def test_a_web_page_is_not_an_archive(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    (folder / "BCData.zip").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    with pytest.raises(ResourceError, match="web page"):
        sets.get("bcdata", cache=tmp_path / "cache", base_url=address)
    assert not list((tmp_path / "cache").rglob("*.zip*"))


def test_an_unknown_set() -> None:
    with pytest.raises(UsageError, match="monuseg"):
        sets.info("monusag")


@pytest.mark.parametrize("name", sets.SETS)
def test_what_is_known_of_a_set(name: str) -> None:
    known = sets.info(name)
    assert known["name"] == name
    assert known["licence"]
    assert known["citation"]
    for file in known["files"]:
        assert file["url"].startswith("https://") or file["sha256"]
        assert file["sha256"] is None or len(file["sha256"]) == hashlib.sha256().digest_size * 2
        assert file["sha256"] or "UNVERIFIED" in known["notes"]


def test_the_cache_moves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MORULA_CACHE", str(tmp_path))
    assert sets.cache_folder() == tmp_path


@pytest.mark.parametrize("published", [True, False])
def test_label_images_may_be_packed_well_where_the_checksum_is_published(
    published: bool, served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    archive = zipped(folder / "BCData.zip", {"seg.tif": bytes(70_000_000)})
    sha256 = file_sha256(archive) if published else None
    public = replace(bcdata.SET, files=(replace(bcdata.SET.files[0], sha256=sha256),))
    monkeypatch.setattr(sets, "SETS", MappingProxyType({"bcdata": public}))
    if published:
        root = sets.get("bcdata", cache=tmp_path, base_url=address)
        assert (root / "BCData" / "seg.tif").stat().st_size == 70_000_000
    else:
        with pytest.raises(DataError, match="bomb"):
            sets.get("bcdata", cache=tmp_path, base_url=address)
