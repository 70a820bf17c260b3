"""Volumes, blocks and affinities as users get them wrong: what is wrong, how to mend it, nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from commands import cli
from morula.core.affinities import NEAREST, Affinities
from morula.core.types import Axes
from morula.data.affinities import write_affinities
from morula.data.ome_zarr import write_image
from morula.targets import affinities
from synthetic import neurites

Maker = Callable[[Path], tuple[Path, Path]]
"""Fills an empty folder; returns the volume and the labels of its block."""

FAST = ["--preset", "smoke", "--device", "cpu"]
SIZE = ["--voxel-size", 10, 10, 10]
IMAGE, LABELS = neurites(0)


def in_tiff(image: np.ndarray = IMAGE, labels: np.ndarray = LABELS) -> Maker:
    def make(folder: Path) -> tuple[Path, Path]:
        for name, array in {"raw": image, "ids": labels}.items():
            tifffile.imwrite(folder / f"{name}.tif", array, photometric="minisblack")
        return folder / "raw.tif", folder / "ids.tif"

    return make


def in_hdf5(labels: np.ndarray = LABELS, cut: str = "") -> Maker:
    """Two files, of which one lost its end."""

    def make(folder: Path) -> tuple[Path, Path]:
        for name, array in {"raw": IMAGE, "ids": labels}.items():
            with h5py.File(folder / f"{name}.h5", "w") as file:
                file["main"] = array
        if cut:
            whole = (folder / f"{cut}.h5").read_bytes()
            (folder / f"{cut}.h5").write_bytes(whole[: len(whole) // 2])
        return Path(f"{folder / 'raw.h5'}:/main"), Path(f"{folder / 'ids.h5'}:/main")

    return make


def with_a_hole() -> Maker:
    """Two stores; the volume lost a chunk. Of labels that is no loss: stores leave out chunks of zeros."""

    def make(folder: Path) -> tuple[Path, Path]:
        for each, array in {"raw": IMAGE, "ids": LABELS}.items():
            chunk = (8, 24, 28)
            write_image(folder / f"{each}.ome.zarr", array, Axes("zyx"), chunks=chunk, shards=chunk)
        (folder / "raw.ome.zarr/0/c/1/0/1").unlink()
        return folder / "raw.ome.zarr", folder / "ids.ome.zarr"

    return make


BAD: dict[str, tuple[Maker, list[object], str]] = {
    "z, y, x would be a tower": (
        in_tiff(*(np.tile(each, (10, 1, 1)) for each in (IMAGE, LABELS))),
        SIZE,
        "--axes",
    ),
    "no voxel size": (in_tiff(), [], "--voxel-size"),
    "labels larger than the volume": (in_tiff(labels=np.pad(LABELS, 4, mode="edge")), SIZE, "32 x 56 x 64"),
    "ids beyond 2^53": (in_hdf5(np.where(LABELS == 1, np.uint64(2**53 + 1), LABELS)), SIZE, "2^53"),
    "ids beyond 2^63": (in_hdf5(LABELS.astype(np.uint64) + 2**63), SIZE, "ids.h5"),
    "truncated volume": (in_hdf5(cut="raw"), SIZE, "raw.h5"),
    "truncated labels": (in_hdf5(cut="ids"), SIZE, "ids.h5"),
    "volume with a missing chunk": (with_a_hole(), SIZE, "chunks are missing"),
    "a black volume": (in_tiff(np.zeros_like(IMAGE)), SIZE, "every voxel is 0"),
    "no label in the block": (in_tiff(labels=np.zeros_like(LABELS)), SIZE, "every label is 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, size, message = BAD[name]
    (tmp_path / "in").mkdir()
    volume, labels = make(tmp_path / "in")
    code, _, told = cli(
        capsys, "run", volume, "--labels", labels, *size, "--out", tmp_path / "run", "-q", *FAST
    )
    assert code in {2, 3}, told
    assert message in told
    assert "Fix:" in told
    assert "Traceback" not in told
    assert not (tmp_path / "run").exists()


TRUE = affinities(LABELS, NEAREST)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (Affinities(TRUE.values[:2], NEAREST[:2]), [], "every axis"),
        (TRUE, ["--offsets", "long-range"], "3 channels, but long-range means 12"),
        (TRUE, ["--offsets", "-1 0 0; 0 -1 0"], "3 channels for 2 offsets"),
        (TRUE, ["--offsets", "nearby"], "'nearby' is neither a name nor a list"),
        (TRUE, ["--polarity", "repulsive"], "the opposite"),
        (Affinities(1 - TRUE.values, NEAREST), [], "the opposite"),
    ],
    ids=[
        "an axis is missing",
        "a name of other sets",
        "a list of too few",
        "no name",
        "wrong polarity said",
        "wrong polarity stored",
    ],
)
def test_affinities_that_mean_something_else_are_refused(
    given: Affinities, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_affinities(tmp_path / "maps.h5", given)
    out = tmp_path / "labels.tif"
    code, _, told = cli(capsys, "agglomerate", tmp_path / "maps.h5", "--out", out, *options)
    assert code in {2, 3}, told
    assert message in " ".join(told.split())
    assert "Fix:" in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope.h5", "nope.h5: no such file. Fix: check the path"),
        ("nope.h5:/affinities", "nope.h5: no such file. Fix: check the path"),
        ("nope.zarr/affs", "no such file. Fix: check the path"),
        ("folder", "a folder, not an HDF5 file"),
        ("store.zarr/affs", "a Zarr store, but affinities are read from HDF5 alone. Fix: save them as HDF5"),
    ],
)
def test_affinities_that_are_not_there_are_not_called_damaged(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("folder", "store.zarr/affs"):
        (tmp_path / folder).mkdir(parents=True)
    code, _, told = cli(capsys, "agglomerate", f"{tmp_path}/{name}", "--out", tmp_path / "labels.tif")
    assert code == 3, told
    assert message in " ".join(told.split())
