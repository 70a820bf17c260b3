"""The gold166 set: each rule of its loader on a small archive in the published layout."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from morula.core.errors import DataError, UsageError
from morula.core.types import Array, Voxel
from morula.data import sets, vaa3d
from morula.data.sets import bigneuron
from morula.data.sets.archive import extract
from morula.data.traced import KnownTrace

STACK = np.random.default_rng(2).integers(0, 256, (5, 20, 24), dtype=np.uint8)
FLYLIGHT, CHICK, KOREA = "p_checked7_janelia_flylight_part1", "e_checked6_chick_uw", "p_checked6_mouse_korea"
NODES = ((3.0, 4.0, 1.0), (12.0, 4.0, 2.0), (20.0, 15.0, 3.0))


def swc(nodes: tuple[tuple[float, ...], ...] = NODES, scale: float = 1.0) -> bytes:
    rows = [
        f"{number} 2 {x * scale} {y * scale} {z * scale} 1 {number - 1 or -1}"
        for number, (x, y, z) in enumerate(nodes, 1)
    ]
    return "\n".join(["# consensus", *rows]).encode()


def head(key: bytes, stack: Array) -> bytes:
    sizes = [*stack.shape[::-1], *([1] * (4 - stack.ndim))]
    return key + b"L" + struct.pack("<h4i", stack.dtype.itemsize, *sizes)


def v3draw(stack: Array) -> bytes:
    return head(b"raw_image_stack_by_hpeng", stack) + stack.tobytes()


def v3dpbd(stack: Array) -> bytes:
    flat = stack.tobytes()
    chunks = (flat[start : start + 33] for start in range(0, len(flat), 33))
    return head(b"v3d_volume_pkbitdf_encod", stack) + b"".join(bytes([len(c) - 1]) + c for c in chunks)


def tif(stack: Array) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, photometric="minisblack")
    return stream.getvalue()


LAYOUT = {
    f"{FLYLIGHT}/err_GMR_57C10_A1-right/err_GMR_57C10_A1-right.v3dpbd": v3dpbd(STACK),
    f"{FLYLIGHT}/err_GMR_57C10_A1-right/err_GMR_57C10_A1-right.v3dpbd.swc": swc(),
    f"{FLYLIGHT}/err_GMR_57C10_A1-right/mip.tif": tif(STACK.max(axis=0)),
    f"{FLYLIGHT}/.DS_Store": b"mac",
    f"{CHICK}/Cell 1/a.v3draw": v3draw(np.stack([STACK // 2, STACK])),
    f"{CHICK}/Cell 1/a.v3draw_stamp_2015_06_16.swc": swc(((1, 1, 1),)),
    f"{CHICK}/Cell 1/a.v3draw_stamp_2015_06_17.swc": swc(((2, 2, 2),)),
    f"{CHICK}/Cell 1/a_Consensus.swc": swc(),
    f"{CHICK}/Cell 1/a.pixelsize.txt": b"x=0.103um, y=0.103um, z=0.3um (60x)",
    f"{KOREA}/im2/im2.tif": tif(STACK.astype(np.uint16) * 100),
    f"{KOREA}/im2/im2.tif_stamp_2015_06_16.swc": swc(((1, 1, 1),)),
    f"{KOREA}/im2/im2.tif_stamp_2015_07_01.swc": swc(),
    f"{KOREA}/voxels.txt": b"200 200 1000",
    f"{KOREA}/readme.txt": b"3 animals, 12 slices each, 2014, 63x",
}


def unpacked(cache: Path, members: dict[str, bytes]) -> Path:
    """The set's folder in the cache, with what an archive of these members leaves there."""
    root = cache / bigneuron.SET.name
    root.mkdir(parents=True)
    with zipfile.ZipFile(root / "gold166.zip", "w") as file:
        file.writestr("__MACOSX/gold166/._x.swc", b"mac")
        for name, content in members.items():
            file.writestr(f"gold166/{name}", content)
    extract(root / "gold166.zip", root / "gold166")
    return root


def changed(**parts: bytes | None) -> dict[str, bytes]:
    """The chick's folder alone, some of its files replaced or left out, named by their extensions."""
    names = {
        "raw": "a.v3draw",
        "trace": "a_Consensus.swc",
        "size": "a.pixelsize.txt",
        "pbd": "a.v3dpbd",
        "picture": "a.tif",
    }
    wanted: dict[str, bytes | None] = {"raw": v3draw(STACK), "trace": swc(), "size": b"0.1 0.1 0.3", **parts}
    return {f"{CHICK}/a/{names[key]}": content for key, content in wanted.items() if content is not None}


def test_every_lab_of_the_layout(tmp_path: Path) -> None:
    root = unpacked(tmp_path, LAYOUT)
    found = {record.id: record for record in pickle.loads(pickle.dumps(bigneuron.records(root, "all")))}
    assert set(found) == {f"{FLYLIGHT}_err_GMR_57C10_A1-right", f"{CHICK}_Cell 1", f"{KOREA}_im2"}
    fly, chick, mouse = (
        next(found[name] for name in found if lab in name) for lab in (FLYLIGHT, CHICK, KOREA)
    )
    for record in (fly, chick):
        assert record.image.axes.order == "zyx"
        np.testing.assert_array_equal(record.image.read(), STACK)
        np.testing.assert_array_equal(record.image[1:3, 4], STACK[1:3, 4])
    np.testing.assert_array_equal(mouse.image.read(), STACK.astype(np.uint16) * 100)
    assert fly.image.voxel == Voxel(z=380.0, y=380.0, x=380.0)
    assert chick.image.voxel == Voxel(z=300.0, y=103.0, x=103.0)
    assert mouse.image.voxel == Voxel(z=1000.0, y=200.0, x=200.0)
    for record in found.values():
        assert record.trace().points.tolist() == [[z, y, x] for x, y, z in NODES]
        assert not record.is_labelled


def test_of_several_channels_only_the_box_asked_for_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = bigneuron.records(
        unpacked(tmp_path, changed(raw=v3draw(np.stack([STACK, STACK // 2])))), "all"
    )
    monkeypatch.delattr(vaa3d, "decode")
    np.testing.assert_array_equal(record.image[1:3, 4], STACK[1:3, 4])


def test_a_lab_is_a_split(tmp_path: Path) -> None:
    members = {**LAYOUT, "p_checked8_new_lab/a/a.tif": tif(STACK), "p_checked8_new_lab/a/a.swc": swc()}
    root = unpacked(tmp_path, members)
    assert [record.id for record in sets.records("bigneuron", KOREA, cache=tmp_path)] == [f"{KOREA}_im2"]
    (new,) = bigneuron.records(root, "p_checked8_new_lab")
    assert new.image.voxel is None
    with pytest.raises(UsageError, match=f"'?atlantis'?: no such split.*{CHICK}.*p_checked8_new_lab"):
        bigneuron.records(root, "atlantis")
    with pytest.raises(DataError, match=r"no image of p_checked6_mouse_tufts.*morula data get bigneuron"):
        bigneuron.records(root, "p_checked6_mouse_tufts")


def test_what_is_known_of_a_lab_holds_where_its_files_say_nothing(tmp_path: Path) -> None:
    lab = "p_checked6_human_culturedcell_Cambridge_in_vitro_confocal_GFP"
    root = unpacked(tmp_path, {f"{lab}/a/a.tif": tif(STACK), f"{lab}/a/a.swc": swc()})
    (record,) = bigneuron.records(root, lab)
    assert record.image.voxel == Voxel(z=540.0, y=497.0, x=497.0)


def test_a_trace_is_in_voxels_where_it_fits_so_else_in_micrometres(tmp_path: Path) -> None:
    root = unpacked(tmp_path, changed(size=b"0.05 x 0.05 x 0.05 microns", trace=swc(((90, 4, 2),), 0.05)))
    (record,) = bigneuron.records(root, "all")
    assert record.trace is not None
    np.testing.assert_allclose(record.trace().points, [[0.1, 0.2, 4.5]])
    far = unpacked(
        tmp_path / "far", changed(size=b"2000 nm, 2000 nm, 2000 nm", trace=swc(((10, 6, 4),), 2.0))
    )
    (record,) = bigneuron.records(far, "all")
    assert record.trace is not None
    np.testing.assert_allclose(record.trace().points, [[4.0, 6.0, 10.0]])


def test_what_was_mended_in_a_trace_stays_with_it(tmp_path: Path) -> None:
    root = unpacked(tmp_path, changed(trace=swc() + b"\n4 2 5 5 1 1 77"))
    (record,) = bigneuron.records(root, "all")
    assert isinstance(record.trace, KnownTrace)
    (told,) = record.trace.repairs
    assert told.startswith("a_Consensus.swc: Parent 77 of node 4 in line 5 is not in the file")


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"raw": None}, r"chick_uw.a: a_Consensus\.swc, but no stack"),
        ({"raw": v3draw(STACK)[:-7]}, r"a\.v3draw: its header says"),
        ({"raw": b"no stack of Vaa3D at all, but long enough"}, r"a\.v3draw: it does not begin"),
        ({"raw": None, "picture": tif(STACK[0])}, r"a\.tif: a single section"),
        ({"raw": v3draw(STACK[:1])}, r"a\.v3draw: a single section"),
        ({"trace": b"# nothing\n"}, r"a_Consensus\.swc: there is no node"),
        ({"trace": b"1 2 3\n"}, r"a_Consensus\.swc: line 1 is no node"),
        ({"trace": swc(((3, 4, 1), (90, 4, 2)))}, r"a_Consensus\.swc: line 3 puts a node at x 90, y 4, z 2"),
        ({"size": b"see the paper"}, r"a\.pixelsize\.txt: no three lengths in 'see the paper'"),
        ({"size": b"0 0 1"}, r"a\.pixelsize\.txt: no three lengths"),
    ],
)
def test_what_does_not_fit_is_named_or_left_out(
    parts: dict[str, bytes | None], told: str, tmp_path: Path
) -> None:
    root = unpacked(tmp_path, {**LAYOUT, **changed(**parts)})
    with pytest.raises(DataError, match=told):
        bigneuron.load(root, "all")
    found, (error,) = bigneuron.load(root, "all", skip_bad=True)
    assert len(found) == 3
    assert str(error.where).startswith(str(root))
    assert len(bigneuron.records(root, CHICK)) == 1


def test_none_that_fits_is_an_error(tmp_path: Path) -> None:
    root = unpacked(tmp_path, changed(raw=None))
    with pytest.raises(DataError, match="but no stack"):
        bigneuron.records(root, "all")
    far = unpacked(tmp_path / "far", changed(size=None, trace=swc(((90, 4, 2),))))
    with pytest.raises(UsageError, match=r"line 2.*--voxel-size"):
        bigneuron.records(far, CHICK)


def test_a_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="morula data get bigneuron"):
        bigneuron.records(tmp_path, "all")
