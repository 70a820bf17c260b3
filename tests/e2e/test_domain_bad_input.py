"""Two domains as users get them wrong: a clear error, or the documented behaviour; a size nobody knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from commands import cli
from synthetic import em_pair

Spoil = Callable[[dict[str, Path]], dict[str, Path]]
GREY = {"photometric": "minisblack"}
SIZES = {"--voxel-size": [40, 12, 12], "--source-voxel-size": [40, 8, 8]}


def run(
    capsys: pytest.CaptureFixture[str],
    pair: dict[str, Path],
    out: Path,
    sizes: dict[str, list[object]] | dict[str, list[int]],
) -> tuple[int, str]:
    given = [word for option, size in sizes.items() for word in (option, *size)]
    named = [pair["target"], "--source", pair["source"], "--source-labels", pair["source_labels"]]
    fast = ["--preset", "smoke", "--set", "steps=4", "--device", "cpu", "-q"]
    code, _, complaint = cli(capsys, "run", *named, *given, "--out", out, *fast)
    return code, complaint


def _empty_mask(pair: dict[str, Path]) -> dict[str, Path]:
    blank = np.zeros_like(tifffile.imread(pair["source_labels"]))
    tifffile.imwrite(pair["source_labels"], blank, **GREY)
    return pair


def _same_volume(pair: dict[str, Path]) -> dict[str, Path]:
    copy = pair["source"].with_name("copy.tif")
    copy.write_bytes(pair["source"].read_bytes())
    return {**pair, "target": copy}


def _black_target(pair: dict[str, Path]) -> dict[str, Path]:
    tifffile.imwrite(pair["target"], np.zeros_like(tifffile.imread(pair["target"])), **GREY)
    return pair


def _colour_labels(pair: dict[str, Path]) -> dict[str, Path]:
    mask = tifffile.imread(pair["source_labels"])
    red = np.stack([mask, np.zeros_like(mask), np.zeros_like(mask)], axis=-1)
    tifffile.imwrite(pair["source_labels"], red, photometric="rgb")
    return pair


def _sources_that_differ(pair: dict[str, Path]) -> dict[str, Path]:
    """Two source volumes, of which one says how large its voxels are."""
    image, mask = (tifffile.imread(pair[name]) for name in ("source", "source_labels"))
    folders = {name: pair["source"].parent / f"many_{name}" for name in ("source", "source_labels")}
    for number, resolution in enumerate([(40.0, 8.0, 8.0), None]):
        for name, array in zip(folders, (np.roll(image, number, axis=1), mask), strict=True):
            folders[name].mkdir(exist_ok=True)
            with h5py.File(folders[name] / f"v{number}.h5", "w") as file:
                file["main"] = array
                if resolution:
                    file["main"].attrs["resolution"] = resolution
    return {**pair, **folders}


BAD: dict[str, tuple[Spoil, dict[str, list[int]], str]] = {
    "empty source mask": (_empty_mask, SIZES, "no voxel of the source's labels is above 0"),
    "target is the source": (_same_volume, SIZES, "the same voxels as the source"),
    "all sections black": (_black_target, SIZES, "every voxel is black"),
    "coloured labels": (_colour_labels, SIZES, "source_labels.tif"),
    "no voxel size": (lambda pair: pair, {}, "does not say how large a voxel is"),
    "sources that differ": (
        _sources_that_differ,
        {"--voxel-size": [40, 12, 12]},
        "does not say how large a voxel is",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, sizes, message = BAD[name]
    code, err = run(capsys, spoil(em_pair(tmp_path)), tmp_path / "run", sizes)
    assert code in {2, 3}, err
    assert message in err
    assert "Fix:" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "predictions").exists()


def _one_black_section(pair: dict[str, Path]) -> dict[str, Path]:
    for name in ("target", "source"):
        stack = tifffile.imread(pair[name])
        stack[1] = 0
        tifffile.imwrite(pair[name], stack, **GREY)
    return pair


def _equal_colours(pair: dict[str, Path]) -> dict[str, Path]:
    mask = tifffile.imread(pair["source_labels"])
    tifffile.imwrite(pair["source_labels"], np.stack([mask * 255] * 3, axis=-1), photometric="rgb")
    return pair


@pytest.mark.parametrize("spoil", [_one_black_section, _equal_colours])
def test_what_can_be_used_runs_to_the_end(
    spoil: Spoil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = run(capsys, spoil(em_pair(tmp_path)), tmp_path / "run", SIZES)
    assert code == 0, err
    assert (tmp_path / "run" / "predictions" / "target" / "labels.tif").exists()


def test_an_unknown_voxel_size_is_found_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = em_pair(tmp_path)
    sizes = {"--voxel-size": ["unknown"], "--source-voxel-size": [40, 8, 8]}
    code, err = run(capsys, pair, tmp_path / "run", sizes)
    assert code == 0, err
    found = json.loads(next((tmp_path / "run").glob("*-zoom/done.json")).read_text())
    assert found["ratio"] == pytest.approx(found["target_zooms"][0])
    assert f"{found['ratio']:.2f} times a source pixel" in (tmp_path / "run/report/index.html").read_text()
    labels = tifffile.imread(tmp_path / "run" / "predictions" / "target" / "labels.tif")
    assert labels.shape == tifffile.imread(pair["target"]).shape
