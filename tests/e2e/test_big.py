"""A volume of any size as a user gets it segmented: one command, killed and repeated, equal to memory."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import chdir
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import zarr

from bad_input import BAD_VOLUMES
from block_runs import emda_run, neuron_run
from blocks import files_of, same_partition
from commands import cli
from morula.blockwise import InlineExecutor
from morula.core.errors import DataError, UsageError
from morula.core.types import Axes, Voxel
from morula.data import open_ome_zarr, open_volume
from morula.data.ome_zarr import write_image
from morula.engine import cores
from morula.workflows.big import _Load, predict_big
from morula.workflows.blocks import threads_of, weights_of
from morula.workflows.predict import open_model
from morula.workflows.view import open_view

VOXEL = Voxel(z=8.0, y=8.0, x=8.0)
SMALL = {"device": "cpu", "voxels": 1}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    rng = np.random.default_rng(4)
    coarse = rng.normal(size=(1, 34, 16))
    stack = np.kron(coarse, np.ones((1, 16, 16))) + 0.3 * rng.normal(size=(1, 544, 256))
    grey = np.clip(128 + 60 * stack, 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("image") / "big.ome.zarr"
    write_image(path, grey, Axes("zyx"), VOXEL)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return emda_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def whole(run, image, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "seg.ome.zarr"
    told = predict_big(run, image, out=out, **SMALL)
    assert told.blocks == 3 and told.objects is not None and not out.with_name("seg.ome.zarr.work").exists()
    return out


def test_blocks_give_what_memory_gives(whole, run, image):
    found = open_model(run, "cpu")(open_volume(image))
    labels = open_ome_zarr(whole / "labels/mitochondria").read()
    assert found.labels.max() > 0
    assert same_partition(labels, found.labels)
    maps = open_ome_zarr(whole).read()
    assert np.abs(maps / 255 - found.maps["foreground"]).max() < 0.003
    assert open_ome_zarr(whole).voxel == VOXEL


def test_the_result_is_ome_zarr(whole):
    from ome_zarr_models.v05 import Image, ImageLabel

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = zarr.open_group(whole, mode="r")
    assert Image.from_zarr(root).attributes.ome.version == "0.5"
    assert ImageLabel.from_zarr(root["labels/mitochondria"]).attributes.ome.image_label is not None
    coarse = open_ome_zarr(whole / "labels/mitochondria", level=1).read()
    fine = open_ome_zarr(whole / "labels/mitochondria").read()
    assert coarse.shape[1:] == (272, 128) and set(np.unique(coarse)) <= set(np.unique(fine)) and coarse.any()


def test_killed_and_repeated_it_is_byte_for_byte_alike(whole, run, image, tmp_path, monkeypatch):
    from morula.blockwise.marks import Marks

    out, left = tmp_path / "seg.ome.zarr", 4
    save = Marks.save

    def killed(self, index, told):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        save(self, index, told)

    monkeypatch.setattr(Marks, "save", killed)
    for life in (2, 6, 9):
        left = life
        with pytest.raises(KeyboardInterrupt):
            predict_big(run, image, out=out, **SMALL)
        assert not out.exists()
    monkeypatch.undo()
    with pytest.raises(UsageError, match="made with another weights"):
        predict_big(emda_run(tmp_path / "other", seed=1), image, out=out, **SMALL)
    with pytest.raises(UsageError, match="made with another grid"):
        predict_big(run, image, out=out, device="cpu", voxels=2**26)
    predict_big(run, image, out=out, **SMALL)
    assert files_of(out) == files_of(whole)


def test_a_process_that_is_killed_for_good_is_gone_on_from(whole, run, image, tmp_path, monkeypatch):
    from morula.blockwise.marks import Marks

    out = tmp_path / "seg.ome.zarr"
    program = "import sys; from morula.workflows.big import predict_big as work; "
    program += "work(sys.argv[1], sys.argv[2], out=sys.argv[3], device='cpu', voxels=1)"
    process = subprocess.Popen([sys.executable, "-c", program, str(run), str(image), str(out)])
    work = out.with_name("seg.ome.zarr.work")
    while len(list(work.rglob("*.npz"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    before = {(path.parents[1], int(path.stem)) for path in work.rglob("*.npz")}
    after, save = set(), Marks.save

    def noted(self, index, told):
        after.add((self.folder, index))
        save(self, index, told)

    monkeypatch.setattr(Marks, "save", noted)
    predict_big(run, image, out=out, **SMALL)
    assert files_of(out) == files_of(whole)
    assert before and after and not before & after


def test_neurons_by_blocks_are_those_of_memory(tmp_path):
    raw = np.random.default_rng(2).integers(0, 255, (12, 40, 44))
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["raw"] = raw.astype(np.uint8)
    run = neuron_run(tmp_path / "run")
    out = tmp_path / "neurons.ome.zarr"
    told = predict_big(run, tmp_path / "raw.h5", out=out, voxel=VOXEL, device="cpu")
    labels = open_ome_zarr(out / "labels/neurons").read()
    found = open_model(run, "cpu")(open_volume(tmp_path / "raw.h5", voxel=VOXEL))
    assert told.objects == labels.max() > 1
    assert np.array_equal(labels, found.labels)
    dry = predict_big(run, tmp_path / "raw.h5", out=tmp_path / "dry", voxel=VOXEL, device="cpu", dry_run=True)
    assert dry.dry and (dry.block, dry.disk) == (told.block, told.disk) and dry.seconds > 0


def small(path: Path, seed: int) -> Path:
    grey = np.random.default_rng(seed).integers(0, 100 * (seed + 1), (1, 64, 64)).astype(np.uint8)
    shutil.rmtree(path, ignore_errors=True)
    write_image(path, grey, Axes("zyx"), VOXEL)
    return path


def test_what_was_replaced_is_loaded_anew(tmp_path, monkeypatch):
    run, image, opened = emda_run(tmp_path / "run"), small(tmp_path / "image.zarr", 0), []
    monkeypatch.setattr(
        "morula.workflows.big.open_model", lambda *given: opened.append(given) or open_model(*given)
    )
    for replace in (lambda: None, lambda: None, lambda: emda_run(run, seed=1), lambda: small(image, 1)):
        replace()
        predict_big(run, image, out=tmp_path / "seg.zarr", dry_run=True, **SMALL)
    assert len(opened) == 3


def test_workers_in_another_folder_find_what_was_named_from_ours(tmp_path, monkeypatch):
    emda_run(tmp_path / "run")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["raw"] = np.random.default_rng(0).integers(0, 255, (1, 64, 64)).astype(np.uint8)
    (tmp_path / "elsewhere").mkdir()
    submit = InlineExecutor.submit

    def elsewhere(self, work, /, *given):
        with chdir(tmp_path / "elsewhere"):
            return submit(self, work, *given)

    monkeypatch.setattr(InlineExecutor, "submit", elsewhere)
    monkeypatch.chdir(tmp_path)
    told = predict_big("run", "raw.h5", out="seg.ome.zarr", voxel=VOXEL, **SMALL)
    assert told.out == Path("seg.ome.zarr") and not list((tmp_path / "elsewhere").iterdir())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert open_view(tmp_path / "seg.ome.zarr").image.uri == f"{tmp_path}/raw.h5:/raw"


def test_a_worker_of_a_cluster_counts_its_own_cores(run, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    image, threads = small(tmp_path / "image.zarr", 0), threads_of(1, "dask://login:8786")
    _Load(str(run), weights_of(run), "cpu", str(image), "", None, threads)()
    assert asked == [cores()]


def test_a_network_of_other_offsets_is_refused(tmp_path):
    described = neuron_run(tmp_path / "run") / "model" / "model.json"
    described.write_text(described.read_text().replace("-1", "-2"))
    with pytest.raises(DataError, match=r"model\.json.*other offsets"):
        open_model(tmp_path / "run", "cpu")


def test_a_dry_run_writes_nothing(run, image, tmp_path, capsys):
    out = tmp_path / "seg.ome.zarr"
    code, told, error = cli(
        capsys, "predict", run, image, "--out", out, "--dry-run", "--json", "-q", "--device", "cpu"
    )
    assert code == 0, error
    found = json.loads(told)
    assert found["objects"] is None and found["blocks"] == 1 and found["block"] == [1, 544, 256]
    assert found["disk_bytes"] > 544 * 256 and list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_does(run, image, tmp_path, capsys):
    out = tmp_path / "seg.ome.zarr"
    code, told, error = cli(capsys, "predict", run, image, "--out", out, "--device", "cpu")
    assert code == 0, error
    assert "objects in 1 block of" in told and "predict: 1/1" in error and "Mvoxel/s" in error
    code, _, error = cli(capsys, "predict", run, image, "--out", out, "--device", "cpu")
    assert code == 2 and "there is something already" in error
    code, _, error = cli(capsys, "predict", run, image, "--out", tmp_path / "x", "--workers", 2)
    assert code == 2 and "let --out end with .ome.zarr" in error
    options = ["--executor", "dask://127.0.0.1:1", "--device", "cpu"]
    code, _, error = cli(capsys, "predict", run, image, "--out", tmp_path / "b.ome.zarr", *options)
    assert code == 4 and "no Dask scheduler" in error and not (tmp_path / "b.ome.zarr.work").exists()


def test_what_is_no_single_channel_is_refused(run, tmp_path):
    write_image(tmp_path / "two.zarr", np.ones((2, 3, 32, 32), np.uint8), Axes("czyx"))
    with pytest.raises(DataError, match="axes czyx, 2 channels"):
        predict_big(run, tmp_path / "two.zarr", out=tmp_path / "out.ome.zarr", device="cpu")


REFUSED = (
    "zarr with a missing chunk",
    "zarr without an axis",
    "zarr of complex numbers",
    "zarr without multiscales",
    "zarr without a level",
    "zarr that is not JSON",
    "missing zarr",
)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_store_is_refused_before_any_work(run, tmp_path, name):
    bad, _ = BAD_VOLUMES[name](tmp_path / "bad")
    with pytest.raises(DataError) as error:
        predict_big(run, bad, out=tmp_path / "out" / "seg.ome.zarr", device="cpu")
    assert str(bad) in str(error.value) and not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(run, image, tmp_path, monkeypatch):
    monkeypatch.setattr("morula.workflows.blocks.os.access", lambda path, mode: False)
    with pytest.raises(DataError, match="no permission to write here"):
        predict_big(run, image, out=tmp_path / "seg.ome.zarr", device="cpu")
    assert list(tmp_path.iterdir()) == []
