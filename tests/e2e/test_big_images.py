"""A 2D image of any size as a user gets its cells: one command, stopped and repeated, equal to memory."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from bad_input import BAD_LARGE_IMAGES
from block_runs import emda_run
from blocks import files_of, same_partition
from commands import cli
from morula.blockwise.marks import Marks
from morula.core.errors import DataError, MorulaError, ResourceError, UsageError
from morula.core.types import Axes, Voxel
from morula.data import open_ome_zarr, open_volume, write_prediction
from morula.data.ome_zarr import write_image
from morula.workflows.big import predict_big
from morula.workflows.big_images import predict_image
from morula.workflows.predict import open_model
from morula.workflows.train import train
from morula.workflows.view import open_view
from synthetic import field, save_folder

VOXEL = Voxel(y=250.0, x=250.0)
LOOK = "H&E"
work = partial(predict_image, device="cpu", side=128)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    images, masks = save_folder(folder, 1, look=LOOK, size=128, count=14)
    told = {"preset": "smoke", "device": "cpu"}
    train(images, out=folder / "psm", recipe="psm", **told)
    train(images, out=folder / "cupre", recipe="cupre", labels=masks, **told)
    return {name: folder / name for name in ("psm", "cupre")}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    pixels, _ = field(9, look=LOOK, size=200, count=45)
    path = tmp_path_factory.mktemp("image") / "big.ome.zarr"
    write_image(path, np.moveaxis(pixels[:, :180], -1, 0), Axes("cyx"), VOXEL)
    return path


@pytest.fixture(scope="module")
def whole(runs, image, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "seg.ome.zarr"
    told = work(runs["psm"], str(image), out)
    assert (
        told.blocks > 3
        and told.objects
        and sorted(path.name for path in out.parent.iterdir())
        == [
            "seg.objects.csv",
            "seg.ome.zarr",
        ]
    )
    return out


def table(path: Path) -> list[tuple[str, ...]]:
    """The rows without their numbers, in the order of their places."""
    with path.open() as stream:
        return sorted(
            tuple(value for name, value in row.items() if name != "id") for row in csv.DictReader(stream)
        )


def same_as_memory(run: Path, image: Path, out: Path, folder: Path) -> None:
    found = open_model(run, "cpu")(open_volume(image))
    assert found.labels.max() > 20
    assert same_partition(open_ome_zarr(out / "labels/cells").read(), found.labels)
    maps = open_ome_zarr(out).read()
    assert np.abs(maps[0] / 255 - found.maps["foreground"]).max() < 0.003
    write_prediction(folder, found, open_volume(image))
    assert table(out.with_name("seg.objects.csv")) == table(folder / "objects.csv")


def test_blocks_give_what_memory_gives(whole, runs, image, tmp_path):
    same_as_memory(runs["psm"], image, whole, tmp_path / "memory")
    assert open_ome_zarr(whole / "labels/cells").voxel == VOXEL


def test_so_does_the_recipe_that_learns_from_labels(runs, image, tmp_path):
    work(runs["cupre"], str(image), tmp_path / "seg.ome.zarr", executor="threads", workers=2)
    same_as_memory(runs["cupre"], image, tmp_path / "seg.ome.zarr", tmp_path / "memory")


def test_what_is_told_from_windows_of_a_large_image_is_the_same_in_memory(runs, image, tmp_path, monkeypatch):
    monkeypatch.setattr("morula.tasks.cells.density._WINDOW", 64)
    for module in ("tasks.cells.density", "recipes.psm.predict"):
        monkeypatch.setattr(f"morula.{module}.LARGEST", 2**14)
    work(runs["psm"], str(image), tmp_path / "seg.ome.zarr")
    same_as_memory(runs["psm"], image, tmp_path / "seg.ome.zarr", tmp_path / "memory")


def test_a_tiled_tiff_gives_what_a_zarr_gives(whole, runs, image, tmp_path):
    pixels = np.moveaxis(open_volume(image).read(), 0, -1)
    tifffile.imwrite(tmp_path / "big.tif", pixels, tile=(64, 64), compression="zlib", photometric="rgb")
    work(runs["psm"], str(tmp_path / "big.tif"), tmp_path / "seg.ome.zarr", VOXEL)
    found = open_ome_zarr(tmp_path / "seg.ome.zarr/labels/cells").read()
    assert np.array_equal(found, open_ome_zarr(whole / "labels/cells").read())


def test_the_result_is_ome_zarr_that_can_be_viewed(whole, image):
    from ome_zarr_models.v05 import Image, ImageLabel

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = zarr.open_group(whole, mode="r")
    assert Image.from_zarr(root).attributes.ome.version == "0.5"
    assert ImageLabel.from_zarr(root["labels/cells"]).attributes.ome.image_label is not None
    view = open_view(whole)
    assert view.sections == 1 and view.image.uri.startswith(str(image))
    assert view.picture(0)[:4] == view.overlay("cells", 0)[:4] == b"\x89PNG"


def test_stopped_or_without_disk_and_repeated_it_is_byte_for_byte_alike(
    whole, runs, image, tmp_path, monkeypatch
):
    out, left, written = tmp_path / "seg.ome.zarr", 0, 0
    save, assign = Marks.save, zarr.Array.__setitem__

    def stopped(self, index, told):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        save(self, index, told)

    def full(self, box, values):
        nonlocal written
        written += 1
        if written == 5:
            no_space()
        assign(self, box, values)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Marks, "save", stopped)
    for life in (2, 5, 11):
        left = life
        with pytest.raises(KeyboardInterrupt):
            work(runs["psm"], str(image), out)
        assert not out.exists()
    monkeypatch.setattr(Marks, "save", save)
    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(ResourceError, match="disk is full"):
        work(runs["psm"], str(image), out)
    monkeypatch.setattr(zarr.Array, "__setitem__", assign)
    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", no_space)
        with pytest.raises(ResourceError, match="disk is full"):
            work(runs["psm"], str(image), out)
    with pytest.raises(UsageError, match="made with another weights"):
        work(runs["cupre"], str(image), out)
    work(runs["psm"], str(image), out)
    assert files_of(out) == files_of(whole)
    assert out.with_name("seg.objects.csv").read_bytes() == whole.with_name("seg.objects.csv").read_bytes()


def test_the_command_measures_does_and_refuses(runs, image, tmp_path, capsys):
    out = tmp_path / "seg.ome.zarr"
    options = ["--out", out, "--device", "cpu"]
    code, told, error = cli(capsys, "predict", runs["psm"], image, *options, "--dry-run", "--json", "-q")
    assert code == 0, error
    found = json.loads(told)
    assert found["objects"] is None and found["block"] == [2048, 2048] and list(tmp_path.iterdir()) == []
    code, told, error = cli(capsys, "predict", runs["psm"], image, *options)
    assert code == 0, error
    assert "objects in 1 block of" in told and "measure: 1/1" in error
    code, _, error = cli(capsys, "predict", runs["psm"], image, *options)
    assert code == 2 and "there is something already" in error
    other = ["--out", tmp_path / "seg.zarr", "--device", "cpu"]
    code, _, error = cli(capsys, "predict", runs["psm"], image, *other)
    assert code == 2 and "seg.objects.csv" in error


def test_a_run_that_was_replaced_is_loaded_anew(runs, image, tmp_path, monkeypatch):
    run, opened = shutil.copytree(runs["psm"], tmp_path / "run"), []
    monkeypatch.setattr(
        "morula.workflows.big_images.open_model", lambda *given: opened.append(given) or open_model(*given)
    )
    for written in ("", "", "\n"):
        with (run / "model/model.json").open("a") as stream:
            stream.write(written)
        work(run, str(image), tmp_path / "seg.ome.zarr", dry_run=True)
    assert len(opened) == 2


@pytest.mark.parametrize("name", BAD_LARGE_IMAGES)
def test_a_bad_image_is_refused_before_any_work(name, runs, tmp_path):
    bad, found = BAD_LARGE_IMAGES[name](tmp_path / "bad")
    with pytest.raises(DataError, match=found) as error:
        predict_big(runs["psm"], bad, out=tmp_path / "out" / "seg.ome.zarr", device="cpu")
    assert str(bad) in str(error.value) and not list(tmp_path.rglob("*.npz"))


def test_a_run_that_cannot_is_refused(runs, image, tmp_path):
    out = tmp_path / "seg.ome.zarr"
    with pytest.raises(DataError, match="a 2D image, but the run is for volumes"):
        predict_big(emda_run(tmp_path / "emda"), image, out=out, device="cpu")
    model = json.loads((runs["psm"] / "model/model.json").read_text())
    for changed, told in (({"learned": ["fluorescence"]}, "H&E, a kind that this run has hardly learned"),):
        other = tmp_path / "other"
        (other / "model").mkdir(parents=True)
        for name in ("run.json", "config.json", "model/network.safetensors"):
            (other / name).write_bytes((runs["psm"] / name).read_bytes())
        (other / "model/model.json").write_text(json.dumps({**model, **changed}))
        with pytest.raises(MorulaError, match=told):
            work(other, str(image), out)
