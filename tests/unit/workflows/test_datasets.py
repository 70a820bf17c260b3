"""`morula data check` takes the published measures of a set's labels again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import tifffile
from PIL import Image

from morula.cli.main import main
from morula.core.hashing import file_sha256
from morula.data import sets
from morula.metrics import area_ratio, solidity, tissue_growth
from morula.workflows import datasets

MITO = np.zeros((85, 20, 1024), np.uint8)
MITO[:3, 3:15, 480:530] = 1
MITO[3, 2:9, 100:120] = MITO[3, 2:5, 120:140] = 1
RAW = np.full(MITO.shape, 9, np.uint8)
RAW[:40, 16:] = 0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MORULA_CACHE", str(tmp_path))
    return tmp_path


def store_vnc(cache: Path) -> None:
    """Whole archives and what was unpacked of them."""
    stack = cache / "vnc" / "groundtruth-drosophila-vnc" / "stack1"
    for name in ("raw", "mitochondria"):
        (stack / name).mkdir(parents=True)
    for z in range(4):
        tifffile.imwrite(stack / "raw" / f"{z:02}.tif", RAW[z])
        Image.fromarray(MITO[z] * 255).save(stack / "mitochondria" / f"{z:02}.png")
    (cache / "vnc" / "groundtruth-drosophila-vnc.zip").write_bytes(b"archive")


def store_kasthuri(cache: Path) -> None:
    for name, stack in (("Train_In", RAW), ("Train_Out", MITO * 255)):
        folder = cache / "kasthuri_pp" / "kasthuri_pp" / name
        folder.mkdir(parents=True)
        for z, section in enumerate(stack):
            Image.fromarray(section).save(folder / f"{z}.png")
    (cache / "kasthuri_pp" / "kasthuri_pp.zip").write_bytes(b"archive")


def publish(monkeypatch: pytest.MonkeyPatch, cache: Path, name: str, **measured: float) -> None:
    """Lets the small set stand for the real one."""
    public = sets.SETS[name]
    (file,) = public.files
    (shape,) = public.morphology
    files = (replace(file, sha256=file_sha256(cache / name / file.filename)),)
    changed = replace(public, files=files, morphology=(replace(shape, **measured),))
    monkeypatch.setattr(sets, "SETS", MappingProxyType({**sets.SETS, name: changed}))


def test_the_left_half_of_vnc(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_vnc(cache)
    left = MITO[:4, :, :512]
    assert area_ratio(left) != pytest.approx(area_ratio(MITO[:4]))
    publish(monkeypatch, cache, "vnc", area_ratio=area_ratio(left), solidity=solidity(left))
    found = datasets.check("vnc")
    assert found["groundtruth-drosophila-vnc.zip"] == "ok"
    assert found["area ratio of train"] == f"ok ({area_ratio(left):.6g})"
    assert found["solidity of train"] == f"ok ({solidity(left):.6g})"
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", "vnc", "--json"])
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out) == found


def test_labels_that_measure_otherwise(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_vnc(cache)
    publish(monkeypatch, cache, "vnc")
    found = datasets.check("vnc")
    assert found["area ratio of train"].endswith("but 0.00600585 was published")
    assert found["solidity of train"].startswith("WRONG")


def test_kasthuri_counts_what_is_not_black(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_kasthuri(cache)
    tissue = RAW > 0
    growth = tissue_growth(tissue)
    expected = area_ratio(MITO, tissue=tissue, growth=growth)
    assert expected != pytest.approx(area_ratio(MITO), rel=0.05)
    publish(monkeypatch, cache, "kasthuri_pp", area_ratio=expected, growth=growth)
    assert datasets.check("kasthuri_pp")["area ratio of train"] == f"ok ({expected:.6g})"


def test_nothing_is_measured_before_the_archives_are_whole(cache: Path) -> None:
    assert datasets.check("vnc") == {"groundtruth-drosophila-vnc.zip": "missing"}
    store_vnc(cache)
    assert datasets.check("vnc") == {"groundtruth-drosophila-vnc.zip": "WRONG CHECKSUM"}


@pytest.mark.real
def test_the_open_part_of_vnc(real_data: Path, tmp_path: Path) -> None:
    """The published figure is of columns 0 to 511; of the 500 that are open, a loop gave this one."""
    mask = tifffile.imread(real_data / "em_vnc_sstem" / "open" / "vnc_stack1_mito.tif")
    raw = tifffile.imread(real_data / "em_vnc_sstem" / "open" / "vnc_stack1_raw.tif")
    stack = tmp_path / "vnc" / "stack1"
    for name in ("raw", "mitochondria"):
        (stack / name).mkdir(parents=True)
    for z, section in enumerate(mask):
        tifffile.imwrite(stack / "raw" / f"{z:02}.tif", raw[z])
        image = section > 0 if z in {1, 7, 18} else section * np.uint8(255)
        Image.fromarray(image).save(stack / "mitochondria" / f"{z:02}.png")
    (record,) = sets.records("vnc", "train", cache=tmp_path)
    assert record.labels is not None
    labels = record.labels()
    assert area_ratio(labels) == pytest.approx(0.0059203913762019235, rel=1e-12)
    assert solidity(labels) == pytest.approx(0.9436785891510485, rel=1e-12)
