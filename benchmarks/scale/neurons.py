"""Neurons of real tissue by blocks and in memory: the same run, both ways, and how far apart they are.

    morula train RAW.tif --labels NEURONS.tif --voxel-size 10 10 10 --preset scratch \\
        --set finetune.steps=400 --set finetune.batch=2 --set decode.mirrors=1 --out RUN
    python benchmarks/scale/neurons.py RUN RAW.tif NEURONS.tif
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import tifffile
from results import keep

from morula.core.types import Voxel
from morula.data import open_ome_zarr, open_volume
from morula.metrics import neuron_scores
from morula.workflows.big import predict_big
from morula.workflows.predict import open_model

SHARD = 64 * 256 * 256
"""Voxels of the smallest block, so that this volume has more than one."""


def main() -> None:
    """Reads the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("raw", type=Path)
    parser.add_argument("truth", type=Path)
    asked = parser.parse_args()
    voxel = Voxel(z=10, y=10, x=10)
    inside = open_model(asked.run, "cpu")(open_volume(asked.raw, voxel=voxel)).labels
    truth = tifffile.imread(asked.truth)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "n.ome.zarr"
        told = predict_big(asked.run, asked.raw, out=out, voxel=voxel, device="cpu", voxels=SHARD)
        found = open_ome_zarr(told.out / told.labels).read()
    row = {
        "shape": list(truth.shape),
        "blocks": told.blocks,
        "neurons": int(found.max()),
        "voi_apart": neuron_scores(found, inside)["voi"],
        "equal": bool((found == inside).all()),
        "voi_to_truth": neuron_scores(found, truth)["voi"],
    }
    keep("neurons", row)


if __name__ == "__main__":
    main()
