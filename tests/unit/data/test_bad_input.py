"""Bad input stops with an error that names the file and the fix, and leaves the folder as it was."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bad_input import BAD_INPUTS, BAD_VOLUMES
from morula.core.errors import DataError, MorulaError, ResourceError
from morula.core.types import Segmentation
from morula.data import load_records, load_volumes, open_volume, write_prediction


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_refused(name: str, tmp_path: Path) -> None:
    images, labels = BAD_INPUTS[name](tmp_path)
    before = contents(tmp_path)
    with pytest.raises(MorulaError) as caught:
        load_records(images, labels)
    assert caught.value.exit_code in {2, 3, 4}
    names = [images.name, *(Path(path).name for path in before)]
    assert any(each in str(caught.value) for each in names)
    assert "Fix:" in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_refused_even_when_bad_images_are_skipped(name: str, tmp_path: Path) -> None:
    images, labels = BAD_INPUTS[name](tmp_path)
    with pytest.raises(MorulaError, match="Fix:"):
        load_records(images, labels, skip_bad=True)


FIT_FOR_VOLUMES = {"one pixel", "duplicate stems", "label without image", "malicious XML"}
"""What is another mistake, or none, where a folder of images is a stack."""


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("name", [*BAD_VOLUMES, *sorted(set(BAD_INPUTS) - FIT_FOR_VOLUMES)])
def test_volumes_refused(name: str, skip_bad: bool, tmp_path: Path) -> None:
    images, labels = (BAD_VOLUMES | BAD_INPUTS)[name](tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="Fix:") as caught:
        load_volumes(images, labels, skip_bad=skip_bad)
    names = [*(Path(path).name for path in before), *(path.name for path in (images, labels) if path)]
    assert any(each in str(caught.value) for each in names)
    assert contents(tmp_path) == before


def test_one_bad_image_of_three(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.png.*--skip-bad"):
        load_records(tmp_path)
    records, errors = load_records(tmp_path, skip_bad=True)
    assert [record.id for record in records] == ["a", "c"]
    assert [Path(error.where).name for error in errors] == ["b.png"]


def test_several_bad_images_are_counted(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "good.png")
    for name in ("x", "y", "z"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"x\.png.*and 2 more bad of 4"):
        load_records(tmp_path)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(path)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"secret\.png: no permission") as caught:
        open_volume(path)
    assert isinstance(caught.value.__cause__, PermissionError)


def test_a_key_behind_a_slash_is_named(tmp_path: Path) -> None:
    path, _ = BAD_VOLUMES["a slash for a colon"](tmp_path)
    with pytest.raises(DataError, match=r"cube\.h5/raw: cube\.h5 is a file.* Fix: name it cube\.h5:/raw"):
        open_volume(path)
    (tmp_path / "notes.png").write_text("no folder")
    with pytest.raises(DataError, match=r"notes\.png is a file, not a folder\. Fix: check the path"):
        open_volume(tmp_path / "notes.png" / "a.png")


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(DataError, match=r"a\.png: cannot be opened \(.*Input/output error\)"):
        open_volume(tmp_path / "a.png")


def test_missing_planes_are_not_read_as_zeros(tmp_path: Path) -> None:
    folder, _ = BAD_INPUTS["missing planes"](tmp_path)
    with pytest.raises(DataError, match="2 of 5 planes are missing"):
        open_volume(folder / "part.ome.tif")


def test_a_folder_is_not_an_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder"):
        open_volume(tmp_path)


def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    image = open_volume(tmp_path / "a.png")
    before = contents(tmp_path)

    def full(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    empty = Segmentation(np.zeros((20, 20), np.int32), np.zeros(0), ())
    with pytest.raises(ResourceError, match="disk is full"):
        write_prediction(tmp_path / "out", empty, image)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
