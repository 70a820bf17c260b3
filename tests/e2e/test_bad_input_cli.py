"""Rubbish on the command line: what is wrong and how to mend it, no traceback, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bad_input import BAD_INPUTS
from commands import cli
from synthetic import field, save_folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code, _, complaint = cli(capsys, "run", *arguments)
    return code, complaint


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_rubbish_stops_before_anything_starts(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = BAD_INPUTS[name](tmp_path / "in")
    extra = ["--labels", labels] if labels else []
    code, message = run(capsys, images, "--out", tmp_path / "run", *extra)
    assert code in {2, 3}
    assert "Fix:" in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def test_one_bad_image_is_skipped_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, _ = save_folder(tmp_path, 2, size=96, count=6)
    (images / "broken.png").write_bytes(b"\x89PNG")
    code, message = run(capsys, images, "--out", tmp_path / "run", "--preset", "smoke")
    assert code == 3
    assert "broken.png" in message
    assert "--skip-bad" in message
    assert not (tmp_path / "run").exists()
    code, _ = run(capsys, images, "--out", tmp_path / "run", "--preset", "smoke", "--skip-bad", "-q")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "run" / "predictions").iterdir()) == ["cells0", "cells1"]
    assert "broken.png" in (tmp_path / "run" / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("preset", "weights", "code", "found"),
    [
        ("paper", "nowhere.pth", 3, "there is no such file"),
        ("paper-small", "coco", 2, "have backbone resnet50 and width 256"),
    ],
)
def test_weights_that_cannot_be_used_are_named(
    preset: str, weights: str, code: int, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, masks = save_folder(tmp_path, 1, size=96, count=6)
    words = ("--labels", masks, "--recipe", "cupre", "--preset", preset, "--weights", weights)
    seen, message = run(capsys, images, "--out", tmp_path / "run", *words)
    assert seen == code
    assert found in message and "Fix:" in message and "Traceback" not in message


def test_every_common_pixel_format_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    images.mkdir()
    colour, _ = field(0, size=96, count=6)
    grey = colour[..., 0]
    Image.fromarray(grey).save(images / "grey8.png")
    Image.fromarray(colour).save(images / "rgb.png")
    Image.fromarray(np.dstack([colour, np.full_like(grey, 255)])).save(images / "rgba.png")
    Image.fromarray(colour).quantize(64).save(images / "palette.png")
    Image.fromarray(colour).save(images / "photo.jpg")
    Image.fromarray(grey.astype(np.uint16) * 200).save(images / "grey16.png")
    tifffile.imwrite(images / "float.tif", grey.astype(np.float32) / 255)
    tifffile.imwrite(images / "rgb16.tif", colour.astype(np.uint16) * 200, photometric="rgb")
    code, message = run(capsys, images, "--out", tmp_path / "run", "--preset", "smoke", "-q")
    assert code == 0, message
    for path in images.iterdir():
        labels = tifffile.imread(tmp_path / "run" / "predictions" / path.stem / "labels.tif")
        assert labels.shape == (96, 96)
        assert 3 <= labels.max() <= 12, path.name


def test_a_full_disk_is_exit_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = save_folder(tmp_path, 1, size=96, count=6)

    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, message = run(capsys, images, "--out", tmp_path / "run", "--preset", "smoke", "-q")
    assert code == 4
    assert "disk is full" in message
    assert not list((tmp_path / "run").rglob("*.part*"))
