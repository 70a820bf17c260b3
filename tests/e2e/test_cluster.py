"""A volume predicted on a local Dask cluster: two workers give what one process gives, byte for byte."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from block_runs import emda_run
from blocks import files_of
from morula.core.types import Axes, Voxel
from morula.data import open_ome_zarr
from morula.data.ome_zarr import write_image
from morula.workflows.big import predict_big


def test_two_workers_give_what_one_process_gives(tmp_path: Path) -> None:
    noise = np.random.default_rng(4).normal(size=(1, 34, 4))
    grey = np.clip(128 + 60 * np.kron(noise, np.ones((1, 16, 16))), 0, 255).astype(np.uint8)
    image, run = tmp_path / "image.ome.zarr", emda_run(tmp_path / "run")
    write_image(image, grey, Axes("zyx"), Voxel(z=8.0, y=8.0, x=8.0))
    stores = {name: tmp_path / f"{name}.ome.zarr" for name in ("inline", "local")}
    for executor, out in stores.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tornado and asyncio when a cluster closes
            told = predict_big(run, image, out=out, workers=2, executor=executor, device="cpu", voxels=1)
        assert told.blocks == 3
    assert open_ome_zarr(stores["local"] / "labels/mitochondria").read().max() > 0
    assert files_of(stores["local"]) == files_of(stores["inline"])
